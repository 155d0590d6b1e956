"""Filter of Doxygen's input: ordinary comments document, too.

    comments.py FILE

prints FILE with those comments marked that document something: one on the lines before a declaration, which
is that of all functions of the paragraph, one at the end of its line, and the first of the file. Comments
in function bodies stay as they are, and so do those in front of a declaration that has one at the end of
its line. Lines keep their numbers.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TOKEN = re.compile(
    r"(?P<block>/\*.*?\*/)|(?P<line>//[^\n]*)|(?P<text>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<directive>(?<=\n)\#(?:[^\n/]|\\\n|/(?![/*]))*)|(?P<brace>[{};])|(?P<newline>\n)"
    r"|(?P<code>\w+|[ \t]+|.)",
    re.DOTALL,
)
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")
SECTION = re.compile(r"(/\*|//) ?---")


def tokens(source: str) -> list[list]:
    """Kind and text of each token; consecutive lines of `//` that stand alone are one, of the kind `line`."""
    found: list[list] = []
    for match in TOKEN.finditer(source):
        kind, text = match.lastgroup, match[0]
        before = [token[0] for token in found[-3:]]
        if kind == "line" and len(found) >= 2 and before[-1] in ("newline", "blank"):
            blanks = 1 if before[-1] == "newline" else 2
            if len(found) > blanks and found[-blanks - 1][0] == "line":
                joined = found[-blanks - 1 :]
                alone = joined[0][2] or (blanks == 2 and column(found, len(found) - 3) == len(joined[-1][1]))
                if alone:
                    del found[-blanks:]
                    found[-1][1] += "\n" + (joined[-1][1] if blanks == 2 else "") + text
                    continue
        if kind == "code" and not text.strip():
            kind = "blank"
        at_start = (
            not found
            or before[-1] == "newline"
            or (before[-1] == "blank" and before[-2:-1] in (["newline"], []))
        )
        found.append([kind, text, at_start])
    return found


def column(found: list[list], index: int) -> int:
    """Where in its line a token begins."""
    width = 0
    while index > 0 and found[index - 1][0] != "newline":
        index -= 1
        width += len(found[index][1])
    return width


def rest_of_line(found: list[list], index: int) -> list[list]:
    line = []
    while index < len(found) and found[index][0] != "newline":
        line.append(found[index])
        index += 1
    return line


def declaration(found: list[list], index: int) -> tuple[str, bool]:
    """The code on the line after the one of this token, and whether it has a comment."""
    while index < len(found) and found[index][0] != "newline":
        index += 1
    line = rest_of_line(found, index + 1)
    code = "".join(token[1] for token in line if token[0] not in ("line", "block"))
    return code.strip(), any(token[0] in ("line", "block") for token in line) and bool(code.strip())


def marked(kind: str, text: str, mark: str) -> str:
    """The comment, for Doxygen: indented lines are code, and nothing else in it is a command or a tag."""
    lines = text.split("\n")
    margin = r" *\*" if kind == "block" else r" *//"
    code = False
    for number, line in enumerate(lines):
        begins, blank = re.match(rf"{margin} {{3}}", line), re.fullmatch(margin, line)
        if number and begins and not code and re.fullmatch(margin, lines[number - 1]):
            lines[number - 1] += " @code"
            code = True
        elif code and not begins and not blank:
            lines[number - 1] += " @endcode"
            code = False
        if not code:
            lines[number] = re.sub(r"([\\@<>#])", r"\\\1", line)
    lines[-1] += " @endcode" if code and kind == "line" else ""
    text = "\n".join(lines)
    if kind == "block":
        return f"/**{mark}{text[2:-2]}{' @endcode' if code else ''}*/"
    return re.sub(r"^(\s*)//", rf"\1///{mark}", text, flags=re.MULTILINE)


def is_function(found: list[list], index: int) -> bool:
    """Whether what begins with this token is the declaration of a function."""
    code = ""
    while index < len(found) and found[index][1] not in ("{", ";"):
        code += found[index][1] if found[index][0] in ("code", "blank") else ""
        index += 1
    return bool(re.match(r"[\w:<>*&,\s\[\]~]+\(", code)) and not re.match(
        r"(typedef|return|using|friend)\b", code
    )


def filtered(source: str) -> str:
    found = tokens("\n" + source)[1:]
    scopes: list[bool] = []
    statement = shared = ""  # the comment that the declarations of a paragraph have together
    documented = False
    first = True
    for index, token in enumerate(found):
        kind, text, at_start = token
        if kind == "newline":
            line = "".join(other[1] for other in rest_of_line(found, index + 1)).strip()
            shared = shared if line else ""
        elif kind == "brace":
            if text == "{":
                scopes.append(
                    bool(SCOPE.search(statement))
                    and "(" not in re.sub(r"<.*>|\balignas\(\w+\)", "", statement)
                )
                shared = "" if scopes[-1] else shared
            elif scopes and text == "}":
                scopes.pop()
            statement = ""
        elif kind in ("code", "text"):
            if not statement and at_start_of_line(found, index):
                if shared and not documented and all(scopes) and is_function(found, index):
                    token[1] = shared + text
                documented = False
            statement += text
        elif kind == "blank" and statement:
            statement += text
        if kind not in ("block", "line") or not all(scopes):
            continue
        if text.startswith(("/**", "/*!", "///", "//!")):
            first, shared, statement, documented = False, "", "", True
            continue
        if first:
            token[1] = re.sub(r"(\S+) - ", r"@file \1 @brief ", marked(kind, text, ""), count=1)
            first = False
        elif SECTION.match(text):
            continue
        elif not at_start:
            if not [other for other in rest_of_line(found, index + 1) if other[0] != "blank"]:
                token[1] = marked(kind, text, "<")
        else:
            code, commented = declaration(found, index)
            if (
                code
                and not code.startswith(("}", "#if", "#endif", "#include", "namespace"))
                and not commented
            ):
                token[1] = marked(kind, text, "")
                flat = re.sub(r"\s*\n\s*(\*|//)?\s*", " ", text[2:-2] if kind == "block" else text[2:])
                statement = ""
                shared, documented = marked("block", f"/*{flat.replace('*/', '')}*/", "") + " ", True
    return "".join(token[1] for token in found)


def at_start_of_line(found: list[list], index: int) -> bool:
    before = [token[0] for token in found[max(0, index - 2) : index]]
    return not before or before[-1] == "newline" or before == ["newline", "blank"]


if __name__ == "__main__":
    sys.stdout.write(filtered(Path(sys.argv[1]).read_text()))
