"""Questions to the parts of the service, such as its database: each in a thread, so a part that hangs stops no answer."""

from collections.abc import Callable
from threading import Lock, Thread
from typing import Any


class Question(Thread):
    """Calls a function once. It is a daemon, so a part that hangs does not keep the process from exiting."""

    def __init__(self, name: str, ask: Callable[[], Any]) -> None:
        super().__init__(name=name, daemon=True)
        self.ask = ask
        self.answer: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        """Call the function, and keep its answer or its error."""
        try:
            self.answer = self.ask()
        except Exception as error:  # noqa: BLE001 - any error of a driver means that the part is down
            self.error = error


questions: dict[str, Question] = {}
lock = Lock()


def start(name: str, ask: Callable[[], Any]) -> Question:
    """Ask, or return the question that still waits: a part that hangs holds one thread, not one per request."""
    with lock:
        if name not in questions or not questions[name].is_alive():
            questions[name] = Question(name, ask)
            questions[name].start()
        return questions[name]
