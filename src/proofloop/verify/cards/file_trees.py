"""Cards of file trees: sort a file into another, mark a tool, clean up."""

from proofloop.core.file_tree import FileTree, TreeFile, TreeFolder
from proofloop.core.language import BUILT_IN
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes

_WORDS = TreeFile(path="in/words.txt", content=b"pear\napple\nfig\n")
_TOOL = b"#!/bin/sh\necho hi\n"
_TIDY = FileTree(
    given=(
        _WORDS,
        TreeFile(path="bin/tool", content=_TOOL),
        TreeFile(path="old.log", content=b"x"),
        TreeFolder(path="spare"),
    ),
    wanted=(
        _WORDS,
        TreeFile(path="out/sorted.txt", content=b"apple\nfig\npear\n"),
        TreeFile(path="bin/tool", content=_TOOL, is_executable=True),
        TreeFolder(path="new/empty"),
    ),
    absent=("old.log",),
)

_GOOD = """import os
os.mkdir('out')
with open('out/sorted.txt', 'w') as f:
    f.writelines(sorted(open('in/words.txt')))
os.chmod('bin/tool', 0o755)
os.remove('old.log')
os.makedirs('new/empty')
"""
_ALL = (C.CRASH, C.TIME_LIMIT, C.MEMORY_LIMIT, C.WRONG_ANSWER, C.INVALID_RESULT)


def _instead(text: str) -> str:
    """The gold answer, but what is written to `out/sorted.txt`."""
    lines = _GOOD.splitlines(keepends=True)
    return "".join([*lines[:2], text, "\n", *lines[4:]])


PYTHON_CARD = Card(
    name="files",
    tests=_TIDY,
    gold=_GOOD,
    accepted=(
        passes("status", "the end state counts, not the status", f"{_GOOD}raise SystemExit(3)\n"),
        passes("prints", "nor what is printed", f"print('failed')\n{_GOOD}"),
        passes("by-rename", "nor how a file comes to be there",
               _GOOD.replace("os.chmod", "os.rename('out/sorted.txt', 'x')\n"
                             "os.rename('x', 'out/sorted.txt')\nos.chmod")),
        passes("by-commands", "other programs may help",
               "import subprocess\nsubprocess.run(['mkdir', '-p', 'out', 'new/empty'])\n"
               "with open('out/sorted.txt', 'w') as f:\n"
               "    subprocess.run(['sort', 'in/words.txt'], stdout=f, env={'LC_ALL': 'C'})\n"
               "subprocess.run(['chmod', '+x', 'bin/tool'])\n"
               "subprocess.run(['rm', 'old.log', '-f'])\n"),
        passes("cleans-up", "an empty folder that was given may go",
               f"{_GOOD}os.rmdir('spare')\n"),
        passes("hard-link", "a second name of the same file is a file",
               _GOOD + "os.link('out/sorted.txt', 'y')\nos.remove('out/sorted.txt')\n"
               "os.rename('y', 'out/sorted.txt')\n"),
    ),
    rejected=(
        fails("nothing", "nothing was done", "pass\n", C.WRONG_ANSWER),
        fails("content", "the last line's end is part of a file",
              _instead("open('out/sorted.txt', 'w').write('apple\\nfig\\npear')"), C.WRONG_ANSWER),
        fails("same-size", "another content of the same size",
              _instead("open('out/sorted.txt', 'w').write('apple\\nfig\\npeas\\n')"),
              C.WRONG_ANSWER),
        fails("not-executable", "a bit is missing", _GOOD.replace("0o755", "0o644"),
              C.WRONG_ANSWER),
        fails("executable", "or is too many",
              f"{_GOOD}os.chmod('out/sorted.txt', 0o755)\n", C.WRONG_ANSWER),
        fails("left", "something was to go", _GOOD.replace("os.remove", "str"), C.WRONG_ANSWER),
        fails("surplus", "something was not to be there",
              f"{_GOOD}open('notes', 'w').close()\n", C.WRONG_ANSWER),
        fails("surplus-folder", "not even a folder", f"{_GOOD}os.mkdir('cache')\n",
              C.WRONG_ANSWER),
        fails("no-folder", "a folder is missing", _GOOD.replace("new/empty", "new"),
              C.WRONG_ANSWER),
        fails("file-for-folder", "a file is no folder",
              _GOOD.replace("os.makedirs('new/empty')", "os.mkdir('new')\nopen('new/empty', 'w')"),
              C.WRONG_ANSWER),
        fails("changed", "what was given is to stay as it is",
              f"{_GOOD}open('in/words.txt', 'a').write('fig\\n')\n", C.WRONG_ANSWER),
        fails("syntax", "it does not run: nothing was done", "def f(:\n", C.WRONG_ANSWER),
    ),
    adversarial=(
        fails("link", "F12: a link to the right content is no file",
              _GOOD + "os.rename('out/sorted.txt', 'in/y')\n"
              "os.symlink('../in/y', 'out/sorted.txt')",
              C.WRONG_ANSWER),
        fails("link-out", "F12: a link is never followed",
              _instead("os.symlink('/etc/passwd', 'out/sorted.txt')"), C.WRONG_ANSWER),
        fails("folder-link", "F12: not even on the way to a file",
              _GOOD + "os.rename('out', 'real')\nos.symlink('real', 'out')\n", C.WRONG_ANSWER),
        fails("root-link", "F12: not in place of the tree itself",
              _GOOD + "import shutil\nos.chdir('..')\ntry:\n    os.rename('tree', 'program/t')\n"
              "    os.symlink('program/t', 'tree')\n"
              "except OSError:\n    shutil.rmtree('tree', True)\n",
              C.WRONG_ANSWER),
        fails("loop", "F12: a link to itself",
              _instead("os.symlink('sorted.txt', 'out/sorted.txt')"), C.WRONG_ANSWER),
        fails("fifo", "F12: a pipe blocks nobody", _instead("os.mkfifo('out/sorted.txt')"),
              C.WRONG_ANSWER, C.CRASH),
        fails("sparse", "H8: sizes are compared before anything is read",
              _instead("f = open('out/sorted.txt', 'w')\nf.truncate(15 << 20)"), C.WRONG_ANSWER),
        fails("huge", "H8: a file has an end",
              _instead("f = open('out/sorted.txt', 'wb')\nwhile True: f.write(b'x' * 65536)"),
              *_ALL),
        fails("many", "H8: so has the number of files",
              f"{_GOOD}for i in range(11000): open(f'out/{{i}}', 'w').close()\n", *_ALL),
        fails("deep", "H8: and the depth of folders",
              f"{_GOOD}for i in range(3000):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\n",
              *_ALL),
        fails("bytes-name", "E2: a name that is no text",
              f"{_GOOD}open(b'\\xff\\xfe', 'w').close()\n", C.WRONG_ANSWER),
        fails("newline-name", "E1: a name that looks like a report",
              f"{_GOOD}open('x\\nPASSED', 'w').close()\n", C.WRONG_ANSWER),
        fails("unreadable", "H8: what cannot be read is our trouble, and a wrong answer",
              f"{_GOOD}os.remove('out/sorted.txt')\nopen('out/sorted.txt', 'w').write('x' * 15)\n"
              "os.chmod('out/sorted.txt', 0)\nos.chmod('out', 0)\n", C.WRONG_ANSWER,
              C.INVALID_RESULT),
        fails("crash", "C11: an end by a signal is none of its own", f"{_GOOD}os.abort()\n",
              C.CRASH),
        fails("spin", "H: processor time is counted", f"{_GOOD}while True: pass\n", C.TIME_LIMIT),
        fails("flood", "H8: output is capped", f"{_GOOD}while True: print('x' * 99)\n",
              C.OUTPUT_LIMIT),
        fails("late", "D13: what is left over is ended before anything is looked at",
              "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(0.5)\n"
              + "".join(f"    {line}\n" for line in _GOOD.splitlines()), C.WRONG_ANSWER),
        fails("after", "E4: nor is it changed afterwards",
              "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(0.5)\n"
              "    open('old.log', 'w')\n    os._exit(0)\n" + _GOOD.replace("os.remove", "str"),
              C.WRONG_ANSWER),
        fails("harvest", "G1: what is wanted is nowhere to be found",
              "import glob, os\nfound = ''\n"
              "for p in glob.glob('/proc/*/environ') + glob.glob('../**', recursive=True):\n"
              "    try: found += open(p).read()\n    except (OSError, UnicodeError): pass\n"
              "os.mkdir('out')\nopen('out/sorted.txt', 'w').write(found[:15])\n", C.WRONG_ANSWER),
        fails("report", "E3: a report is a surplus file",
              "open('passed', 'w').write('1')\nopen('reward.txt', 'w').write('1')\n",
              C.WRONG_ANSWER),
    ),
)  # fmt: skip

BASH_CARD = Card(
    name="files-bash",
    tests=FileTree(
        language=BUILT_IN["bash"],
        given=(TreeFile(path="a.txt", content=b"1\n2\n"), TreeFile(path="b.txt", content=b"3\n")),
        wanted=(TreeFile(path="all.txt", content=b"1\n2\n3\n"),),
        absent=("a.txt",),
        allows_surplus=True,
    ),
    gold="cat a.txt b.txt > c.txt\nrm a.txt\nmv c.txt all.txt\n",
    accepted=(
        passes("fenced", "the script is the block",
               "```bash\ncat *.txt > all.md; mv all.md all.txt; rm a.txt\n```\n"),
        passes("surplus", "more files are let be",
               "cat [ab].txt | tee all.txt > log\nrm a.txt b.txt\nmkdir more\n"),
    ),
    rejected=(
        fails("syntax", "it does not parse", "cat (((\n", C.INVALID_PROGRAM),
        fails("order", "in another order", "cat b.txt a.txt > all.txt\nrm a.txt\n",
              C.WRONG_ANSWER),
        fails("kept", "something was to go", "cat a.txt b.txt > all.txt\n", C.WRONG_ANSWER),
    ),
    adversarial=(
        fails("shotgun", "A6: every answer at once",
              "for o in 'a b' 'b a'; do for f in $o; do cat $f.txt; done; done > all.txt\n"
              "rm a.txt\n", C.WRONG_ANSWER),
        fails("bomb", "H8: processes are counted", ":(){ :|:& };:\nwait\n", *_ALL,
              C.OUTPUT_LIMIT),
        fails("toolchain", "F6: programs of the system stay as they are",
              "cp a.txt /bin/cat\nmkdir bin\ncp a.txt bin/cat\nPATH=bin:$PATH\n"
              "echo 'PATH=bin' > ~/.bashrc\n", C.WRONG_ANSWER),
    ),
    programs=("bash",),
)  # fmt: skip

CARDS: tuple[Card, ...] = (PYTHON_CARD, BASH_CARD)
