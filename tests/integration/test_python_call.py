"""The runner's part of a call, in the interpreters of this host: what a task sees of it, and what
it leaves of a call that goes well, fails, or does what it should not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.called import Call, interpreters

SHADOWS = ("json", "re", "enum", "functools", "traceback", "asyncio", "importlib", "types")


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(tmp_path)


@pytest.mark.parametrize("python", interpreters())
def test_every_python_of_this_host_calls_functions_and_runs_scripts(
    tmp_path: Path, python: str
) -> None:
    call = Call(tmp_path, python)
    call.module(
        "jobs/embed.py",
        "import asyncio\n"
        "def main(model, size=1): return {'model': model, 'size': size}\n"
        "async def later(**known):\n    await asyncio.sleep(0)\n    return known\n"
        "async def fails():\n    await asyncio.sleep(0)\n    raise KeyError('gone')\n",
    )
    assert call.function("jobs.embed:main", model="é", size=2.0).result == {
        "value": {"model": "é", "size": 2.0}
    }
    assert call.function("jobs.embed:later", a=[None, True]).result == {
        "value": {"a": [None, True]}
    }
    failed = call.function("jobs.embed:fails")
    assert (failed.code, failed.exception) == (1, "KeyError: 'gone'")
    assert failed.err.splitlines()[0] == "Traceback (most recent call last):"
    assert failed.err.splitlines()[-1] == "KeyError: 'gone'"
    assert failed.err.count("File ") == 1  # neither the runner's own frames, nor asyncio's
    done = call.script("import sys\nprint(sys.argv, __name__, __file__)")
    script = str(call.task / "script.py")
    assert (done.code, done.out, done.err) == (0, f"['{script}'] __main__ {script}\n", "")


def test_the_workspace_is_first_on_the_path_and_the_tasks_own_directory_is_not_on_it(
    call: Call,
) -> None:
    told = call.script("import json, sys\nprint(json.dumps(sys.path))")
    assert told.out.startswith(f'["{call.workspace}", "')
    assert str(call.task) not in told.out
    call.module("look.py", "import sys\ndef paths(): return sys.path")
    paths = call.function("look:paths").result["value"]
    assert paths[0] == str(call.workspace)
    assert str(call.task) not in paths


@pytest.mark.parametrize("name", SHADOWS)
def test_a_module_of_the_workspace_breaks_no_call_and_is_the_tasks_own(
    call: Call, name: str
) -> None:
    call.module(f"{name}.py", "MINE = True")
    call.module("jobs.py", f"import {name}\ndef main(n): return [n, {name}.MINE]")
    assert call.function("jobs:main", n=3).result == {"value": [3, True]}
    assert call.script(f"import {name}\nprint({name}.MINE)").out == "True\n"
    call.module("bad.py", "def main(): raise ValueError('x')")
    assert call.function("bad:main").exception == "ValueError: x"


def test_a_directory_that_only_has_the_name_of_a_module_replaces_none(call: Call) -> None:
    (call.workspace / "json").mkdir()
    call.module("jobs.py", "import json\ndef main(): return json.loads('[1]')")
    assert call.function("jobs:main").result == {"value": [1]}


def test_what_the_function_itself_reports_stays_beside_what_it_returns(call: Call) -> None:
    call.module(
        "jobs.py",
        "import json, os\n"
        "def write(told, value=None):\n"
        "    with open(os.environ['ENV_RUNNER_RESULT'], 'w') as file:\n"
        "        file.write(told)\n"
        "    return value\n",
    )
    told = '{"value": 1, "metrics": {"tokens": 5}, "outputs": [{"path": "a"}]}'
    assert call.function("jobs:write", told=told, value=[2]).result == {
        "value": [2],
        "metrics": {"tokens": 5},
        "outputs": [{"path": "a"}],
    }
    assert call.function("jobs:write", told=told).result["value"] == 1  # it returns nothing
    assert call.function("jobs:write", told="{}", value=0).result == {"value": 0}
    for bad in ("[1]", '"x"', "1"):
        done = call.function("jobs:write", told=bad, value=2)
        assert done.code == 0
        assert "no JSON object: it stays as it is" in done.err
        assert (call.task / "result.json").read_text() == bad


def test_a_function_that_returns_nothing_has_null_as_its_value(call: Call) -> None:
    call.module("jobs.py", "def main(): pass")
    done = call.function("jobs:main")
    assert (done.code, done.result, done.out, done.err) == (0, {"value": None}, "", "")


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ("{1, 2}", "TypeError: Object of type set is not JSON serializable"),
        ("float('nan')", "ValueError: Out of range float values are not JSON compliant"),
        ("'\\ud800'", "UnicodeEncodeError: "),
        ("(n for n in ())", "TypeError: Object of type generator is not JSON serializable"),
        ("b''", "TypeError: Object of type bytes is not JSON serializable"),
        ("loop()", "ValueError: Circular reference detected"),
        ("deep()", "RecursionError: "),
        ("object()", "TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_what_is_no_json_value_fails_the_task_and_says_so(
    call: Call, returned: str, why: str
) -> None:
    call.module(
        "jobs.py",
        "def loop():\n    a = []\n    a.append(a)\n    return a\n"
        "def deep():\n    a = []\n    for _ in range(100_000): a = [a]\n    return a\n"
        f"def main(): return {returned}\n",
    )
    done = call.function("jobs:main")
    said = f"what jobs:main returned is no JSON value: {why}"
    assert done.code == 1
    assert done.exception is not None
    assert done.exception.startswith(said)
    assert done.err.startswith(f"env-runner: {said}")
    assert len(done.err.splitlines()) == 1
    assert done.result is None


@pytest.mark.parametrize(
    ("entry_point", "why"),
    [
        ("absent:main", "ModuleNotFoundError: No module named 'absent'"),
        ("jobs:absent", "AttributeError: module 'jobs' has no attribute 'absent'"),
        ("jobs:VALUE", "TypeError: 'int' object is not callable"),
        ("jobs:Nested.absent", "AttributeError: type object 'Nested' has no attribute 'absent'"),
        ("no.main:main", "ModuleNotFoundError: No module named 'no'"),
        ("jobs:wants", "TypeError: wants() missing 1 required positional argument: 'a'"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_told_in_a_line_with_no_frame_of_the_runners(
    call: Call, entry_point: str, why: str
) -> None:
    text = (
        "VALUE = 1\nclass Nested:\n    @staticmethod\n    def main(): return 5\ndef wants(a): pass"
    )
    call.module("jobs.py", text)
    done = call.function(entry_point)
    assert (done.code, done.err, done.exception) == (1, f"{why}\n", why)
    assert call.function("jobs:Nested.main").result == {"value": 5}


def test_frames_of_the_task_alone_are_shown_also_of_what_came_before(call: Call) -> None:
    call.module(
        "jobs.py",
        "def inner(): raise ValueError('first\\nsecond')\n"
        "def main():\n    try:\n        inner()\n    except ValueError as error:\n"
        "        raise RuntimeError('after') from error\n",
    )
    done = call.function("jobs:main")
    assert "direct cause of the following exception" in done.err
    assert "call.py" not in done.err
    assert (done.err.count("File "), done.exception) == (3, "RuntimeError: after")
    call.module("broken.py", "import jobs\ndef main(:\n")
    done = call.function("broken:main")
    assert "call.py" not in done.err
    assert done.exception is not None
    assert done.exception.startswith("SyntaxError: ")


def test_the_hook_of_a_task_that_has_its_own_is_asked_and_the_line_is_left_all_the_same(
    call: Call,
) -> None:
    done = call.script(
        "import sys\n"
        "sys.excepthook = lambda kind, _, trace: print('mine', kind.__name__, trace.tb_lineno)\n"
        "raise LookupError('x' * 5000)\n"
    )
    assert (done.code, done.out) == (1, "mine LookupError 3\n")
    assert done.exception == ("LookupError: " + "x" * 5000)[:1024]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("sys.exit(4)", 4),
        ("sys.exit()", 0),
        ("sys.exit('bye')", 1),
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), 9)", -9),
        ("raise KeyboardInterrupt", -2),
        ("os.abort()", -6),
    ],
)
def test_a_program_that_ends_itself_ends_as_with_python_alone(
    call: Call, body: str, code: int
) -> None:
    done = call.script(f"import os, sys\n{body}")
    assert done.code == code
    assert done.exception == ("KeyboardInterrupt" if code == -2 else None)
    call.module("jobs.py", f"import os, sys\ndef main(): {body}")
    assert call.function("jobs:main").code == code
    assert not (call.task / "result.json").exists()


def test_a_child_that_comes_back_into_the_call_reports_nothing(call: Call) -> None:
    call.module(
        "jobs.py",
        "import os\n"
        "def main(fails):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        if fails: raise ValueError('the child')\n"
        "        return 'the child'\n"
        "    os.waitpid(child, 0)\n"
        "    return 'the parent'\n",
    )
    for fails in (False, True):
        done = call.function("jobs:main", fails=fails)
        assert (done.code, done.result) == (0, {"value": "the parent"})
        assert done.exception is None


def test_whatever_it_makes_of_its_streams_its_result_is_stored_and_stdout_is_its_own(
    call: Call,
) -> None:
    call.module(
        "jobs.py",
        "import io, os, sys, threading\n"
        "def closed():\n    sys.stdout.close()\n    sys.stderr.close()\n    return 1\n"
        "def replaced():\n    sys.stdout = io.StringIO()\n    print('x')\n    return 2\n"
        "def thread():\n"
        "    threading.Thread(target=lambda: print('late')).start()\n    return 3\n"
        "def noisy():\n    print('x' * 10)\n    return 4\n",
    )
    told = [call.function(f"jobs:{name}") for name in ("closed", "replaced", "thread", "noisy")]
    assert [(one.code, one.result["value"], one.out) for one in told] == [
        (0, 1, ""), (0, 2, ""), (0, 3, "late\n"), (0, 4, "xxxxxxxxxx\n"),
    ]  # fmt: skip


def test_a_script_is_its_text_whatever_it_says_of_its_encoding(call: Call) -> None:
    assert call.script("# -*- coding: latin-1 -*-\nprint('é')").out == "é\n"
    assert call.script("\ufeffprint('bom')\r\nprint(2)\r\n").out == "bom\n2\n"
    done = call.script("x = 1\0\n")
    assert (done.code, done.exception) == (
        1,
        done.err.splitlines()[-1],
    )
    assert "null bytes" in done.err
    done = call.script("def f(:\n")
    assert done.exception is not None
    assert done.exception.startswith("SyntaxError: ")
    assert 'script.py", line 1' in done.err
    assert "call.py" not in done.err
    large = "# " + "x" * (1 << 20) + "\nprint('large')"
    assert call.script(large).out == "large\n"


def test_a_script_is_the_main_program_for_whoever_asks(call: Call) -> None:
    done = call.script(
        "import multiprocessing, pickle, sys\n"
        "class Known: pass\n"
        "def double(n): return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    assert sys.modules['__main__'].Known is Known\n"
        "    assert type(pickle.loads(pickle.dumps(Known()))) is Known\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(double, [1, 2]))\n"
    )
    assert (done.out, done.err) == ("[2, 4]\n", "")


def test_a_function_may_use_processes_that_are_spawned(call: Call) -> None:
    call.module(
        "jobs.py",
        "import multiprocessing\n"
        "def double(n): return 2 * n\n"
        "def main():\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        return pool.map(double, [1, 2])\n",
    )
    done = call.function("jobs:main")
    assert (done.result, done.err) == ({"value": [2, 4]}, "")


def test_variables_of_python_are_heeded(call: Call) -> None:
    call.environment = {"PYTHONHASHSEED": "7", "PYTHONOPTIMIZE": "1", "PYTHONSAFEPATH": "1"}
    call.module("jobs.py", "def main(): return [hash('a'), __debug__]")
    first = call.function("jobs:main").result["value"]
    assert first == call.function("jobs:main").result["value"]
    assert first[1] is False


def test_the_largest_arguments_arrive_as_they_are(call: Call) -> None:
    call.module("jobs.py", "def main(text, é, f): return [len(text), é, f]")
    deep: list[object] = []
    for _ in range(25):
        deep = [deep]
    done = call.function("jobs:main", text="x" * 1_000_000, é=deep, f=1.0)
    assert done.result == {"value": [1_000_000, deep, 1.0]}
    assert isinstance(done.result["value"][2], float)
