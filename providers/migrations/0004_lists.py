import django.db.models.functions.comparison
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('providers', '0003_limits'),
    ]

    operations = [
        migrations.AddField(
            model_name='languagemodel',
            name='shown',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Lower(django.db.models.functions.comparison.Coalesce(django.db.models.functions.comparison.NullIf('name', models.Value('')), 'model_id')), output_field=models.CharField(max_length=200), serialize=False),
        ),
        migrations.AddIndex(
            model_name='languagemodel',
            index=models.Index(fields=['shown', 'id'], name='model_by_shown'),
        ),
        migrations.AddIndex(
            model_name='languagemodel',
            index=models.Index(fields=['context', 'id'], name='model_by_context'),
        ),
    ]
