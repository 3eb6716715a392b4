from django.db import migrations

from billing.append_only import lift, protect

MODELS = ("Request", "Attempt", "LedgerEntry")


def partition(apps, schema_editor):
    """On Postgres the record tables are made again, partitioned by month, with what they hold."""
    if schema_editor.connection.vendor != "postgresql":
        return
    for name in MODELS:
        _remake(schema_editor, apps.get_model("billing", name), "PARTITION BY RANGE (started_at)")
        table = apps.get_model("billing", name)._meta.db_table
        schema_editor.execute(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT")
        _put_back(schema_editor, table)


def join(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for name in MODELS:
        _remake(schema_editor, apps.get_model("billing", name), "")
        _put_back(schema_editor, apps.get_model("billing", name)._meta.db_table)


def _remake(schema_editor, model, how):
    table = model._meta.db_table
    schema_editor.execute(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")
    schema_editor.execute(f"DROP TABLE {table}")
    create, params = schema_editor.table_sql(model)
    schema_editor.execute(f"{create} {how}", params or None)
    for index in schema_editor._model_indexes_sql(model):
        schema_editor.execute(index)


def _put_back(schema_editor, table):
    schema_editor.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
    schema_editor.execute(f"DROP TABLE kept_{table}")


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(partition, join),
        migrations.RunPython(
            lambda apps, schema_editor: protect(schema_editor.connection),
            lambda apps, schema_editor: lift(schema_editor.connection),
        ),
    ]
