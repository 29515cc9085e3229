"""The rendered project in Chromium, with a real worker, Redis and PostgreSQL."""
