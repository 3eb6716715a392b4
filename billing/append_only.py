"""The ledger's rows are never changed and never deleted, whoever asks: the database itself refuses.

Only demonstration rows may be deleted. Migration 0002 puts the triggers there; on SQLite they go when a migration
rebuilds the table, which must then call `protect` again (a test watches).
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

_POSTGRES = """
CREATE OR REPLACE FUNCTION billing_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    IF NOT EXISTS (SELECT 1 FROM billing_ledgerentry WHERE NOT demo) THEN
      RETURN NULL;
    END IF;
  ELSIF TG_OP = 'DELETE' AND OLD.demo THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the ledger is append-only: book an adjustment instead'
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry
  FOR EACH ROW EXECUTE FUNCTION billing_append_only();
CREATE OR REPLACE TRIGGER append_only_whole BEFORE TRUNCATE ON billing_ledgerentry
  FOR EACH STATEMENT EXECUTE FUNCTION billing_append_only();
"""

_SQLITE = (
    """
CREATE TRIGGER IF NOT EXISTS append_only_update BEFORE UPDATE ON billing_ledgerentry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: book an adjustment instead'); END
""",
    """
CREATE TRIGGER IF NOT EXISTS append_only_delete BEFORE DELETE ON billing_ledgerentry WHEN NOT OLD.demo
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: book an adjustment instead'); END
""",
)


def protect(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        for statement in (_POSTGRES,) if connection.vendor == "postgresql" else _SQLITE:
            cursor.execute(statement)


def lift(connection: BaseDatabaseWrapper) -> None:
    """For a migration that must rebuild the table, and for tests that clear it."""
    on = " ON billing_ledgerentry" if connection.vendor == "postgresql" else ""
    names = ("append_only", "append_only_whole") if on else ("append_only_update", "append_only_delete")
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on}")
