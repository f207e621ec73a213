"""Runs one call in a task's own interpreter: `python call.py WORKSPACE [DIRECTORY]`.

Beside it lies either `call.json`, the function to call and its arguments, or `script.py`, a program
that is run as the main one. What a function returns goes into the result file; an exception goes to
stderr, without the frames of this file, and into `exception.txt`. For any CPython from 3.8 on, with
the standard library alone. It imports nothing that a workspace could replace, and leaves
nothing imported that this one does replace.
"""

import os
import sys

TYPE_CHECKING = False  # to import `typing` takes as long as all of this
if TYPE_CHECKING:
    from types import FrameType, ModuleType, TracebackType

HERE = os.path.dirname(os.path.abspath(__file__))
CALL, SCRIPT = os.path.join(HERE, "call.json"), os.path.join(HERE, "script.py")
RESULT, EXCEPTION = os.path.join(HERE, "result.json"), os.path.join(HERE, "exception.txt")
PROCESS = os.getpid()

EXCEPTION_SIZE = 1024  # bytes
RESULT_SIZE = 2 * 1024 * 1024  # bytes of what the function has reported by itself: none takes more


class NoResult(Exception):
    """What a function returned is no JSON; the text says why."""


def main(workspace: str, directory: str = "") -> None:
    """Run what lies beside this file. What ends the task comes through."""
    # first: no import may find what lies beside this file
    sys.path[:] = [path for path in sys.path if path != HERE]
    if directory:
        directory = os.path.join(workspace, directory)
        os.makedirs(directory, exist_ok=True)
        os.chdir(directory)
    run = run_script if os.path.exists(SCRIPT) else run_function
    try:
        run(workspace)
    except SystemExit:
        raise
    except BaseException as error:
        tell(error)
        raise


def run_script(workspace: str) -> None:
    """Run the program, as if it had been given to the interpreter itself."""
    sys.path.insert(0, workspace)
    sys.argv = [SCRIPT]
    with open(SCRIPT, "rb") as file:
        text = file.read().decode("utf-8-sig")  # whatever it says of its encoding: it was JSON
    module = type(sys)("__main__")
    module.__dict__.update(__file__=SCRIPT, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    exec(compile(text, SCRIPT, "exec", dont_inherit=True), module.__dict__)


def run_function(workspace: str) -> None:
    """Call the function, and store what it returns."""
    before = set(sys.modules)
    import json

    forget_replaced(set(sys.modules) - before, workspace)
    sys.path.insert(0, workspace)
    sys.argv = [CALL]
    with open(CALL, "rb") as file:
        call = json.loads(file.read().decode("utf-8"))
    value = called(call["entry_point"], call.get("arguments", {}))
    if os.getpid() == PROCESS:  # else it is a child that has come back here, too
        store(json, call["entry_point"], value)


def forget_replaced(names: "set[str]", workspace: str) -> None:
    """Let the task find a module of its own where this file has used one of the library's."""
    import _imp

    endings = ("", ".py", ".pyc", *_imp.extension_suffixes())
    for name in names:
        top = os.path.join(workspace, name.partition(".")[0])
        if any(os.path.exists(top + ending) for ending in endings):
            del sys.modules[name]


def called(name: str, arguments: "dict[str, object]") -> object:
    """What the function returns; of one that is asynchronous, once it has."""
    module, _, path = name.partition(":")
    __import__(module)
    function: object = sys.modules[module]
    for part in path.split("."):
        function = getattr(function, part)
    value = function(**arguments)  # type: ignore[operator]  # what cannot be called says so itself
    if not hasattr(type(value), "__await__"):
        return value
    import asyncio

    async def awaited() -> object:
        return await value

    return asyncio.run(awaited())


def store(json: "ModuleType", name: str, value: object) -> None:
    """Write what was returned, beside what the function has reported by itself."""
    there = os.path.lexists(RESULT)
    if value is None and there:
        return  # what it has written is its result
    try:
        spelled = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except Exception as error:
        raise NoResult(f"what {name} returned is no JSON value: {line_of(error)}") from None
    told = reported(json) if there else {}
    if told is None:
        complain(f"{name} has left a result file that is no JSON object: it stays as it is")
        return
    told.pop("value", None)
    rest = json.dumps(told)[:-1].encode("ascii") + (b", " if told else b"")
    aside = f"{RESULT}.{PROCESS}.new"
    with open(aside, "wb") as file:
        file.write(rest + b'"value": ' + spelled + b"}")
    os.replace(aside, RESULT)


def reported(json: "ModuleType") -> "dict[str, object] | None":
    """The object that the function itself has written; None where it is none."""
    try:
        with open(os.open(RESULT, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            told = json.loads(file.read(RESULT_SIZE).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def tell(error: BaseException) -> None:
    """Leave the exception's line; and have Python show it as it does, but for our own frames."""
    if os.getpid() == PROCESS:
        try:
            with open(EXCEPTION, "wb") as file:
                file.write(line_of(error).encode("utf-8", "backslashreplace")[:EXCEPTION_SIZE])
        except OSError:
            pass  # the disk is full, for one; it is on stderr all the same
    shown = sys.excepthook  # the task's own, where it has one

    def show(
        kind: "type[BaseException]", raised: BaseException, trace: "TracebackType | None"
    ) -> None:
        if isinstance(raised, NoResult):
            complain(str(raised))
            return
        while trace is not None and is_ours(trace.tb_frame):
            trace = trace.tb_next
        shown(kind, raised.with_traceback(trace), trace)

    sys.excepthook = show


def is_ours(frame: "FrameType") -> bool:
    """Whether it is of this file, or of what runs a function that is asynchronous."""
    module = frame.f_globals.get("__name__") or ""
    here = frame.f_code.co_filename == main.__code__.co_filename
    return here or module.partition(".")[0] == "asyncio"


def line_of(error: BaseException) -> str:
    """The exception as Python tells it at the end of a traceback."""
    if isinstance(error, NoResult):
        return str(error)
    kind = type(error)
    own = kind.__module__ in ("__main__", "builtins")
    name = kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = error.msg if isinstance(error, SyntaxError) and error.msg else str(error)
    except Exception:
        text = "<its text cannot be had>"
    return f"{name}: {text}" if text else name


def complain(text: str) -> None:
    """Say something on stderr, whatever the task has made of `sys.stderr`."""
    try:
        os.write(2, f"env-runner: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
