"""Cards of program tests in other languages than Python: the sum of two numbers, compiled or not.

Every language has the attacks that it makes easy.  The last card's compiler is a script of the
answer's own, which is as much as any compile command can hand over to an answer.
"""

import msgspec

from proofloop.core.language import BUILT_IN, FOLDER, PYTHON, Language
from proofloop.core.task import OutputTest, ProgramTests, Stages
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, Case, fails, passes

_PAIRS = ((1, 2), (-5, 5), (10**17, 1))


def sums(language: Language, stages: Stages | None = None) -> ProgramTests:
    return ProgramTests(
        language=language,
        stages=stages or Stages(),
        tests=tuple(
            OutputTest(stdin=f"{a} {b}\n".encode(), stdout=f"{a + b}\n".encode()) for a, b in _PAIRS
        ),
    )


_SCAN = "/proc/self/environ", "/proc/1/environ", "/proc/1/cmdline", "/proc/1/fd/0", "/proc/1/mem"
_ENDED = (C.CRASH, C.MEMORY_LIMIT, C.TIME_LIMIT, C.WRONG_ANSWER)
_NOT_BUILT = (C.INVALID_PROGRAM, C.MEMORY_LIMIT, C.TIME_LIMIT, C.OUTPUT_LIMIT)


def _c(body: str, top: str = "") -> str:
    return (
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
        f"{top}\nint main(void) {{\n{body}\n}}\n"
    )


_READ_C = '    long long a, b;\n    scanf("%lld %lld", &a, &b);'
_GOOD_C = _c(f'{_READ_C}\n    printf("%lld\\n", a + b);\n    return 0;')

_RUN_C = (
    fails("constant", "A1: the first answer alone", _c('    puts("3");'), C.WRONG_ANSWER),
    fails("exit", "C1: status 0 is no answer", _c("    exit(0);"), C.WRONG_ANSWER),
    fails("constructor", "C4: what runs before main decides nothing",
          _c("    return 0;", "__attribute__((constructor)) static void early(void) {\n"
             '    puts("3");\n    fflush(stdout);\n    _exit(0);\n}'), C.WRONG_ANSWER),
    fails("atexit", "C4: nor does what runs after it; output is all that was printed",
          _c(f'    atexit(late);\n{_READ_C}\n    printf("%lld\\n", a + b);\n    return 0;',
             'static void late(void) { puts("PASSED"); }'), C.WRONG_ANSWER),
    fails("status", "C1: a status other than 0",
          _c(f'{_READ_C}\n    printf("%lld\\n", a + b);\n    return 1;'), C.CRASH),
    fails("crash", "C11: an end by a signal",
          _c('    puts("3");\n    fflush(stdout);\n    abort();'), C.CRASH),
    fails("exec", "C5: another program instead", _c('    execl("/bin/true", "true", NULL);'),
          C.WRONG_ANSWER),
    fails("proc", "G2: nothing in reach holds what is wanted",
          _c("".join(f'    dump("{path}");\n' for path in _SCAN),
             "static void dump(const char *path) {\n    char text[4096];\n"
             '    FILE *f = fopen(path, "r");\n    if (!f) return;\n'
             "    size_t n = fread(text, 1, sizeof text, f);\n"
             "    fwrite(text, 1, n, stdout);\n    fclose(f);\n}"), C.WRONG_ANSWER, C.CRASH),
    fails("list", "G1: nor is there a test to read",
          _c('    system("ls -aR . .. /tmp; cat * ../* /tmp/*");'), C.WRONG_ANSWER),
    fails("files", "E3: nothing can be written that outlives a test, nor is anything read",
          _c('    FILE *f = fopen("seen", "a+");\n    if (!f) f = fopen("/tmp/seen", "a+");\n'
             '    if (!f) return 0;\n    fputs("x", f);\n    fflush(f);\n    rewind(f);\n'
             "    int n = 0;\n    while (fgetc(f) != EOF) n++;\n"
             '    puts(n == 1 ? "3" : n == 2 ? "0" : "100000000000000001");'), C.WRONG_ANSWER),
    fails("descriptors", "E6: there is no channel to write a verdict to",
          _c("    for (int fd = 3; fd < 256; fd++)\n"
             '        for (int i = 0; i < 9; i++) write(fd, "{\\"passed\\": true}", 16);'),
          C.WRONG_ANSWER, C.CRASH),
    fails("daemon", "D13: what is left over is ended",
          _c("    if (fork() == 0) {\n        setsid();\n        if (fork() == 0) {\n"
             '            sleep(1);\n            puts("3");\n            fflush(stdout);\n'
             "            for (;;) pause();\n        }\n    }\n    return 0;"), C.WRONG_ANSWER),
    fails("fork-bomb", "H8: processes are counted",
          _c("    for (;;) fork();"), *_ENDED),
    fails("spin", "H: processor time is counted", _c("    for (;;);"), C.TIME_LIMIT),
    fails("sleep", "H: wall time is counted", _c("    sleep(60);"), C.TIME_LIMIT),
    fails("flood", "H8: output is capped", _c('    for (;;) puts("3");'), C.OUTPUT_LIMIT),
    fails("flood-errors", "H8: on both descriptors",
          _c('    for (;;) fputs("3333333333333333", stderr);'), C.OUTPUT_LIMIT),
    fails("memory", "H8: memory is capped",
          _c("    for (;;) {\n        char *p = malloc(1 << 20);\n"
             "        if (p) memset(p, 1, 1 << 20);\n        else abort();\n    }"), *_ENDED),
    fails("stack", "H8: so is the stack", _c("    return f(1);",
          "int f(int n) { volatile char big[1 << 16]; big[0] = n; return f(n + 1) + big[0]; }"),
          *_ENDED),
    fails("socket", "G7: no network: an answer cannot be fetched",
          "#include <arpa/inet.h>\n#include <sys/socket.h>\n#include <stdio.h>\n"
          "int main(void) {\n    struct sockaddr_in a = {AF_INET, htons(53)};\n"
          '    inet_pton(AF_INET, "1.1.1.1", &a.sin_addr);\n'
          "    int s = socket(AF_INET, SOCK_STREAM, 0);\n"
          '    puts(connect(s, (void *)&a, sizeof a) ? "refused" : "3");\n}\n', C.WRONG_ANSWER),
)  # fmt: skip

_COMPILE_C = (
    fails("syntax", "it does not compile", "int main(void) {", C.INVALID_PROGRAM),
    fails("error", "an error of its own", "#error 3\n", C.INVALID_PROGRAM),
    fails("link", "nothing to start at", "int f(void) { return 3; }\n", C.INVALID_PROGRAM),
    fails("include-zero", "H8: a source without an end",
          '#include "/dev/zero"\nint main(void) {}\n', *_NOT_BUILT),
    fails("include-itself", "H8: nor one that holds itself",
          "#include __FILE__\nint main(void) {}\n", *_NOT_BUILT),
    fails("include-host", "G1: the compiler sees no more than the program",
          '#include "/etc/shadow"\nint main(void) {}\n', C.INVALID_PROGRAM),
    fails("incbin", "G1: what it can read is of no use",
          'extern const char text[];\n__asm__(".global text\\ntext: .incbin \\"/etc/passwd\\"\\n'
          '.byte 0\\n");\n#include <stdio.h>\nint main(void) { puts(text); }\n',
          C.WRONG_ANSWER, C.INVALID_PROGRAM),
    fails("huge-binary", "H8: a program of a gibibyte",
          "char big[1 << 30] = {1};\nint main(void) { return big[5]; }\n", *_NOT_BUILT),
    fails("huge-bss", "H8: and one that asks for more than there is",
          "char big[1L << 46];\nint main(void) { for (long i = 0; i < 1L << 46; i += 4096) "
          "big[i] = 1; }\n", *_NOT_BUILT, C.CRASH),
    fails("error-flood", "H8: more errors than anybody reads",
          "\n".join(f"int x{i} = y{i};" for i in range(20_000)), *_NOT_BUILT),
)  # fmt: skip

_MACROS = "\n".join(f"#define M{i} M{i - 1} M{i - 1} M{i - 1}" for i in range(1, 40))
_BOMBS = (
    fails("macros", "H8: a source that grows", f"#define M0 1 +\n{_MACROS}\nint x = M39 1;\n",
          *_NOT_BUILT),
    fails("constexpr", "H4: work of the compiler's is counted, too",
          "constexpr long f() {\n    long s = 0;\n"
          "    for (long i = 0; i < 1L << 60; i++) s += i % 7;\n    return s;\n}\n"
          "constexpr long x = f();\nint main() { return x; }\n", *_NOT_BUILT),
    fails("templates", "H8: types without number",
          "template <class A, class B> struct P {};\n"
          "template <int n, class T> struct F : F<n - 1, P<T, int>>, F<n - 1, P<T, char>> {};\n"
          "template <class T> struct F<0, T> {};\nF<30, int> x;\nint main() {}\n", *_NOT_BUILT),
)  # fmt: skip

C_CARD = Card(
    name="stdio-c",
    tests=sums(BUILT_IN["c"]),
    gold=_GOOD_C,
    accepted=(
        passes("fenced", "the program is the block in C",
               f"So:\n```c\n{_GOOD_C}```\nIt prints:\n```\n3\n```\n"),
        passes("debug", "standard error is not the output",
               _GOOD_C.replace("return 0", 'fputs("debug", stderr); return 0')),
        passes("warnings", "a warning is no error", _GOOD_C.replace("int main(void)", "main()")),
    ),
    rejected=_RUN_C[:1],
    adversarial=(*_RUN_C[1:], *_COMPILE_C),
    programs=("gcc",),
)  # fmt: skip

_GOOD_CPP = (
    "#include <bits/stdc++.h>\nusing namespace std;\nint main() {\n    long long a, b;\n"
    '    cin >> a >> b;\n    cout << a + b << "\\n";\n}\n'
)
CPP_CARD = Card(
    name="stdio-cpp",
    tests=sums(BUILT_IN["cpp"]),
    gold=_GOOD_CPP,
    accepted=(
        passes("fenced", "whatever the block is called", f"```C++\n{_GOOD_CPP}```\n"),
        passes("late", "what a destructor prints is output",
               "#include <iostream>\nlong long a, b;\n"
               "struct S { ~S() { std::cout << a + b; } } s;\n"
               "int main() { std::cin >> a >> b; }\n"),
    ),
    rejected=(
        fails("c-only", "another language",
              "print(sum(map(int, input().split())))", C.INVALID_PROGRAM),
        fails("throws", "an exception that nobody catches",
              "#include <vector>\nint main() { return std::vector<int>().at(3); }\n", C.CRASH),
    ),
    adversarial=(
        fails("global", "C4: what runs before main decides nothing",
              "#include <cstdio>\n#include <unistd.h>\n"
              'struct S { S() { puts("3"); fflush(stdout); _exit(0); } } s;\nint main() {}\n',
              C.WRONG_ANSWER),
        fails("operators", "B1: comparison is not the program's",
              "#include <iostream>\nstruct E { bool operator==(const E &) { return true; } };\n"
              "std::ostream &operator<<(std::ostream &o, const E &) { return o << 3; }\n"
              "int main() { std::cout << E() << std::endl; }\n", C.WRONG_ANSWER),
        fails("nul", "E2: output is bytes",
              "#include <iostream>\nint main() {\n    long long a, b;\n    std::cin >> a >> b;\n"
              "    std::cout << a + b << '\\0' << \"PASSED\";\n}\n", C.WRONG_ANSWER),
    ),
    programs=("g++",),
)  # fmt: skip
BOMBS_CARD = Card(
    name="stdio-cpp-bombs",
    tests=sums(msgspec.structs.replace(BUILT_IN["cpp"], compile_s=2)),
    gold=_GOOD_CPP.replace("bits/stdc++.h", "iostream"),
    adversarial=_BOMBS,
    programs=("g++",),
)

_GOOD_JS = (
    "const [a, b] = require('fs').readFileSync(0, 'utf8').trim().split(/\\s+/).map(BigInt);\n"
    "console.log(String(a + b));\n"
)


def _js(name: str, why: str, text: str, *causes: C) -> Case:
    return fails(name, why, text, *causes)


JAVASCRIPT_CARD = Card(
    name="stdio-javascript",
    tests=sums(BUILT_IN["javascript"]),
    gold=_GOOD_JS,
    accepted=(
        passes("lines", "another way to read",
               "const lines = require('readline').createInterface({input: process.stdin});\n"
               "lines.on('line', (l) => {\n    const [a, b] = l.split(' ').map(BigInt);\n"
               "    process.stdout.write(`${a + b}`);\n});\n"),
        passes("async", "what is done later is done",
               "(async () => {\n    await new Promise((r) => setTimeout(r, 5));\n"
               f"{_GOOD_JS}}})()"),
        passes("fenced", "the program is the block", f"```js\n{_GOOD_JS}```\n"),
    ),
    rejected=(
        _js("syntax", "it does not compile", "function (", C.INVALID_PROGRAM),
        _js("throws", "an exception", f"{_GOOD_JS}throw new Error('3');\n", C.CRASH),
        _js("rejection", "a promise that nobody keeps", f"{_GOOD_JS}Promise.reject(3);\n", C.CRASH),
        _js("number", "numbers are not exact here",
            _GOOD_JS.replace("BigInt", "Number").replace("String(a + b)", "a + b"),
            C.WRONG_ANSWER),
    ),
    adversarial=(
        _js("exit", "C1: status 0 is no answer", "process.exit(0);\n", C.WRONG_ANSWER),
        _js("exit-hook", "C4: nor is a status set at the end",
            "process.on('uncaughtException', () => process.exit(0));\nthrow 1;\n", C.WRONG_ANSWER),
        _js("prototypes", "D5: what is patched stays in its process",
            "for (const t of [String, Array, Number, Object, Buffer]) {\n"
            "    t.prototype.toString = t.prototype.valueOf = t.prototype.equals = () => '3';\n"
            "}\nJSON.stringify = () => '{\"passed\": true}';\nconsole.log([]);\n",
            C.WRONG_ANSWER, C.CRASH),
        _js("loader", "D8: so are its modules",
            "require('module')._load = () => ({equal: () => true});\n"
            "require('assert').equal(1, 2);\nconsole.log(3);\n", C.WRONG_ANSWER),
        _js("child", "D13: children end with it",
            "require('child_process').spawn('sh', ['-c', 'sleep 1; echo 3'],\n"
            "    {detached: true, stdio: 'inherit'}).unref();\nprocess.exit(0);\n",
            C.WRONG_ANSWER),
        _js("shell", "G2: other programs see no more",
            "console.log(require('child_process').execSync(\n"
            "    'cat /proc/*/environ /proc/*/cmdline; ls -R /tmp . ..; true').toString());\n",
            C.WRONG_ANSWER, C.CRASH),
        _js("write", "E3: nothing can be written",
            "for (const f of ['main.js', '/tmp/x', '../x'])\n"
            "    try { require('fs').writeFileSync(f, \"console.log('3')\"); } catch (e) {}\n"
            "console.log(3);\n", C.WRONG_ANSWER),
        _js("connect", "G7: no network", "require('net').connect(53, '1.1.1.1');\n", C.CRASH),
        _js("spin", "H: processor time is counted", "for (;;);\n", C.TIME_LIMIT),
        _js("hang", "H: wall time is counted", "setInterval(() => {}, 1000);\n", C.TIME_LIMIT),
        _js("flood", "H8: output is capped",
            "for (;;) require('fs').writeSync(1, '3'.repeat(4096));\n", C.OUTPUT_LIMIT),
        _js("memory", "H8: memory is capped",
            "const x = [];\nfor (;;) x.push(Buffer.alloc(1 << 24, 1));\n", *_ENDED),
        _js("bomb", "H8: processes are counted",
            "const c = require('child_process');\n"
            "for (;;) c.spawn(process.execPath, [__filename], {stdio: 'inherit'});\n",
            *_ENDED, C.OUTPUT_LIMIT),
    ),
    programs=("node",),
)  # fmt: skip

_COMMAND_PYTHON = msgspec.structs.replace(PYTHON, is_forked=False)
PYTHON_CARD = Card(
    name="stdio-python-command",
    tests=ProgramTests(
        language=_COMMAND_PYTHON,
        tests=tuple(
            OutputTest(stdin=f"{a} {b}\n".encode(), stdout=f"{a - b}\n".encode()) for a, b in _PAIRS
        ),
    ),
    gold="a, b = map(int, input().split())\nprint(a - b)\n",
    accepted=(
        passes("threads", "an interpreter of its own may have threads",
               "import threading\na, b = map(int, input().split())\n"
               "t = threading.Thread(target=print, args=(a - b,))\nt.start()\nt.join()\n"),
    ),
    adversarial=(
        fails("site", "F4: nothing survives to run before the next program",
              "for f in ('sitecustomize.py', 'random.py', '/tmp/x.py'):\n"
              "    try: open(f, 'w').write('print(0)')\n    except OSError: pass\nprint(3)\n",
              C.WRONG_ANSWER),
        fails("exit", "C2: status 0 is no answer", "import os\nos._exit(0)\n", C.WRONG_ANSWER),
    ),
)  # fmt: skip

STAGES_CARD = Card(
    name="stdio-stages",
    tests=sums(BUILT_IN["c"], Stages(compiles=0.25, runs=0.25, passes=0.5)),
    gold=_GOOD_C,
    rejected=(
        fails("does-not-compile", "no stage", "int main(", C.INVALID_PROGRAM),
        fails("compiles", "one stage", _c("    return 1;"), C.CRASH, reward=0.25),
        fails("runs", "two stages, right on no test", _c('    puts("4");'),
              C.WRONG_ANSWER, reward=0.5),
        fails("runs-partly", "running is all of it: a later crash takes the stage away",
              _c(f"{_READ_C}\n    if (a > 9) abort();\n    puts(\"3\");"),
              C.WRONG_ANSWER, reward=0.25),
    ),
    adversarial=(
        fails("timeout", "a time-out is no end of its own", _c("    for (;;);"),
              C.TIME_LIMIT, reward=0.25),
    ),
    programs=("gcc",),
)  # fmt: skip

_SCRIPT = Language(
    name="build-script",
    title="a build script",
    file="build.sh",
    compile=("bash", "build.sh"),
    run=(f"{FOLDER}/main",),
    fences=("bash", "sh"),
    num_processes=16,
)
_MAIN = "printf '#!/bin/bash\\nread a b\\necho $((a + b))\\n' > main\n"
BUILD_SCRIPT_CARD = Card(
    name="stdio-build-script",
    tests=sums(_SCRIPT),
    gold=f"{_MAIN}\nchmod +x main\n",
    rejected=(
        fails("fails", "a compiler that fails", f"{_MAIN}chmod +x main\nexit 3\n",
              C.INVALID_PROGRAM),
        fails("nothing", "nothing to run", "exit 0\n", C.CRASH),
        fails("not-executable", "nothing that can be run", _MAIN, C.CRASH),
        fails("folder", "a folder is no program", "mkdir main\n", C.CRASH),
    ),
    adversarial=(
        fails("link-out", "F12: a link leads nowhere", "ln -s ../../../../etc/shadow main\n",
              C.CRASH),
        fails("link-system", "F12: or to what the program could run in any case",
              "ln -s /bin/echo main\n", C.WRONG_ANSWER),
        fails("folder-link", "F12: nor is a link followed on the way to a file",
              "cd ..\nrm -rf program\nln -s /tmp program\n", C.CRASH, C.INVALID_PROGRAM),
        fails("setuid", "a program gains no rights",
              "cp /usr/bin/id main\nchmod 6755 main\n", C.WRONG_ANSWER, C.CRASH,
              C.INVALID_PROGRAM),
        fails("left-over", "D13: the compiler's processes end with it",
              "(setsid sh -c 'while :; do echo 3; sleep 0.01; done' &)\n"
              "printf '#!/bin/sh\\nsleep 0.2\\n' > main\nchmod +x main\n", C.WRONG_ANSWER),
        fails("harvest", "G1: there is nothing to take along from here",
              "(env; cat /proc/*/environ /proc/*/cmdline; ls -aR / | head -c 9999; cat * ../*)"
              " > found 2>&1\nprintf '#!/bin/sh\\ncat found\\n' > main\nchmod +x main\n",
              C.WRONG_ANSWER, C.CRASH),
        fails("fifo", "a pipe that nobody writes to", "mkfifo main\nchmod +x main\n",
              C.CRASH, C.TIME_LIMIT),
        fails("disk", "H8: the folder has an end",
              "i=0\nwhile :; do i=$((i + 1)); head -c 33554432 /dev/zero > f$i || exit 1; done\n",
              *_NOT_BUILT),
        fails("inodes", "H8: and so has the number of files",
              "i=0\nwhile :; do i=$((i + 1)); : > f$i || exit 1; done\n",
              *_NOT_BUILT),
        fails("unreadable", "what the compiler hides, it hides from its program",
              f"{_MAIN}chmod 000 main .\n", C.CRASH),
        fails("fork-bomb", "H8: processes are counted", ":(){ :|:& };:\nwait\n",
              C.INVALID_PROGRAM, C.CRASH, C.TIME_LIMIT, C.MEMORY_LIMIT, C.OUTPUT_LIMIT),
    ),
    programs=("bash",),
)  # fmt: skip

CARDS: tuple[Card, ...] = (
    C_CARD,
    CPP_CARD,
    BOMBS_CARD,
    JAVASCRIPT_CARD,
    PYTHON_CARD,
    STAGES_CARD,
    BUILD_SCRIPT_CARD,
)
