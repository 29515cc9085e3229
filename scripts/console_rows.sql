-- Rows for scripts/measure_console.py; :rows of each kind, in the order in which a service writes them.

TRUNCATE tasks_taskrun, mail_email, mail_emailattachment, mail_emailevent;

-- Emails of 90 days; each that was sent has an event, and some wait for their next attempt.
INSERT INTO mail_email (
    id, template, "to", context, from_email, reply_to, headers, status, provider, attempts, crashes,
    message_id, last_error, correlation_id, traceparent, related_id,
    queued_at, next_attempt_at, started_at, sent_at, lease_token, lease_until
)
SELECT
    gen_random_uuid(), 'shop/mail_' || name, 'user' || row % 100000 || '@example.com', '{"order": 12345}', '', '[]', '{}',
    CASE state WHEN 'retrying' THEN 'queued' ELSE state END,
    CASE WHEN state IN ('queued', 'canceled', 'suppressed') THEN '' WHEN name % 5 = 0 THEN 'sendgrid' ELSE 'smtp' END,
    CASE WHEN state IN ('queued', 'canceled', 'suppressed') THEN 0 WHEN state = 'retrying' THEN 3 ELSE 1 END, 0,
    CASE WHEN state IN ('sent', 'delivered', 'bounced', 'complained') THEN '<' || gen_random_uuid() || '@example.com>' ELSE '' END,
    CASE WHEN state IN ('failed', 'retrying') THEN 'SMTP 451: mailbox ' || row || ' is busy' ELSE '' END,
    CASE WHEN row BETWEEN :rows * 0.50 AND :rows * 0.51 THEN 'one-request' ELSE md5((row / 3)::text) END, '', '',
    queued_at,
    CASE state WHEN 'retrying' THEN now() + wait * interval '1 min' ELSE queued_at END,
    CASE WHEN state NOT IN ('queued', 'canceled') THEN queued_at + wait * interval '1 s' END,
    CASE WHEN state IN ('sent', 'delivered', 'bounced', 'complained') THEN queued_at + (wait + 0.2) * interval '1 s' END,
    CASE state WHEN 'sending' THEN gen_random_uuid() END,
    CASE state WHEN 'sending' THEN now() + wait * interval '1 s' END
FROM (
    SELECT
        row, name, wait,
        now() - interval '90 days' * (1 - row / :rows::float) AS queued_at,
        CASE
            WHEN row > :rows * 0.99 AND luck < 0.30 THEN 'queued'
            WHEN row > :rows * 0.99 AND luck < 0.32 THEN 'retrying'
            WHEN row > :rows * 0.99 AND luck < 0.33 THEN 'sending'
            WHEN luck > 0.99 THEN 'failed'
            WHEN luck > 0.97 THEN 'bounced'
            WHEN luck > 0.969 THEN 'complained'
            WHEN luck > 0.96 THEN 'suppressed'
            WHEN luck > 0.959 THEN 'canceled'
            WHEN luck > 0.60 THEN 'delivered'
            ELSE 'sent'
        END AS state
    FROM (
        SELECT row, random() AS luck, (11.9 * power(random(), 2))::int AS name, -3 * ln(1 - random()) AS wait
        FROM generate_series(1, :rows) AS row
    ) AS drawn
) AS mails;

INSERT INTO mail_emailevent (email_id, kind, attempt, detail, happened_at)
SELECT id, 'sent', 1, '', sent_at FROM mail_email WHERE sent_at IS NOT NULL;

-- Tasks of a week, last, so that the newest are new. Of the newest percent, a third has not finished; two percent of all have failed.
-- 20 names, the first ones most often. Three rows share a request, and one request has caused a percent of all.
INSERT INTO tasks_taskrun (
    id, name, args, kwargs, options, queue, status, worker, attempts, crashes, user_id, traceparent,
    error_type, last_error, traceback, correlation_id,
    queued_at, next_attempt_at, started_at, finished_at, first_failed_at, lease_token, lease_until
)
SELECT
    gen_random_uuid(), 'shop.task_' || name, '["an argument", 12345]', '{"customer": 67890}', '{}',
    CASE name % 4 WHEN 0 THEN 'reports' ELSE 'default' END,
    CASE state WHEN 'done' THEN 'done' WHEN 'failed' THEN 'failed' WHEN 'running' THEN 'running' ELSE 'queued' END,
    'worker@host' || name % 4, 1, 0, '', '',
    CASE state WHEN 'failed' THEN error ELSE '' END,
    CASE WHEN state IN ('failed', 'retrying') THEN error || ': the shop answered with status ' || 500 + name ELSE '' END,
    CASE state WHEN 'failed' THEN repeat('  File "shop/tasks.py", line 12, in call' || chr(10), 40) ELSE '' END,
    CASE WHEN row BETWEEN :rows * 0.50 AND :rows * 0.51 THEN 'one-request' ELSE md5((row / 3)::text) END,
    queued_at,
    CASE state WHEN 'scheduled' THEN now() + wait * interval '1 hour' ELSE queued_at END,
    CASE WHEN state NOT IN ('queued', 'scheduled') THEN queued_at + wait * interval '1 s' END,
    CASE WHEN state IN ('done', 'failed') THEN queued_at + (wait + run) * interval '1 s' END,
    CASE WHEN state IN ('failed', 'retrying') THEN queued_at + wait * interval '1 s' END,
    CASE state WHEN 'running' THEN gen_random_uuid() END,
    CASE state WHEN 'running' THEN now() + run * interval '1 min' END
FROM (
    SELECT
        row, wait, run, name,
        now() - interval '7 days' * (1 - row / :rows::float) AS queued_at,
        (ARRAY['ConnectionError', 'KeyError', 'TimeLimitExceeded', 'TaskRevokedError'])[1 + (luck * 1000)::int % 4] AS error,
        CASE
            WHEN row > :rows * 0.99 AND luck < 0.30 THEN 'queued'
            WHEN row > :rows * 0.99 AND luck < 0.35 THEN 'scheduled'
            WHEN row > :rows * 0.99 AND luck < 0.38 THEN 'retrying'
            WHEN row > :rows * 0.99 AND luck < 0.383 THEN 'running'
            WHEN luck > 0.98 THEN 'failed'
            ELSE 'done'
        END AS state
    FROM (
        SELECT row, random() AS luck, (19.9 * power(random(), 2))::int AS name, -3 * ln(1 - random()) AS wait, -ln(1 - random()) AS run
        FROM generate_series(1, :rows) AS row
    ) AS drawn
) AS tasks;
