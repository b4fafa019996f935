"""Reads the tokens of a statement one after another."""

from __future__ import annotations

from .lexer import END


class TokenReader:
    """Reads a list of lower-case tokens from the left."""

    __slots__ = ("at", "tokens")

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> str:
        """The next token, or END after the last one; it is not consumed."""
        return self.tokens[self.at]

    def next(self) -> str:
        """Consume and return the next token; END after the last one, however often."""
        text = self.tokens[self.at]
        self.at += text != END
        return text

    def accept(self, *expected: str) -> bool:
        """Whether the next tokens are these; if so, consume them."""
        end = self.at + len(expected)
        found = self.tokens[self.at : end] == list(expected)
        if found:
            self.at = end
        return found

    def accept_any(self, *words: str) -> bool:
        """Whether the next token is one of these; if so, consume it."""
        return any(self.accept(word) for word in words)

    def skip_parentheses(self) -> list[str]:
        """Consume the parentheses that open here, and return what is inside, with END.

        If they are never closed, that is all remaining tokens.
        """
        start, depth = self.at + 1, 0
        while (text := self.next()) != END:
            depth += (text == "(") - (text == ")")
            if depth == 0:
                return [*self.tokens[start : self.at - 1], END]
        return self.tokens[start:]

    def arguments(self) -> list[list[str]]:
        """Consume the parentheses that open here, and return the arguments inside, each with END."""
        arguments: list[list[str]] = [[]]
        depth = 0
        for text in self.skip_parentheses()[:-1]:
            depth += (text in {"(", "["}) - (text in {")", "]"})
            if text == "," and depth == 0:
                arguments.append([])
            else:
                arguments[-1].append(text)
        return [[*argument, END] for argument in arguments]
