"""Addresses of From, To, Contact, Route and Record-Route: name-addr or addr-spec with parameters, RFC 3261 §20.10.

Lenient where real peers need it: spaces inside the brackets, unquoted display names, and doubled brackets as in
`<<sip:host>;+sip.src>`. Does not compare addresses; `Uri.matches` does.
"""

from __future__ import annotations

from typing import Self

import msgspec

from signaling.errors import SipSyntaxError
from signaling.sip.syntax import NO_PARAMS, TOKEN, WHITESPACE, Params, end_of_quoted, quote, unquote
from signaling.sip.uri import Uri


class NameAddr(msgspec.Struct, frozen=True):
    """One address with its header parameters."""

    uri: Uri
    display_name: str = ""
    """Without quotes and quoted pairs; empty when there is none."""
    params: Params = NO_PARAMS
    """Header parameters: what stands behind the angle brackets, or behind the first semicolon without brackets."""

    @classmethod
    def parse(cls, text: str, header: str) -> Self:
        """Read one element of an address header field, stripped as `Headers` and `split_list` give it.

        Without angle brackets everything from the first semicolon on belongs to the header field, not to the URI
        (RFC 3261 §20).

        Raises:
            SipSyntaxError: quotes or brackets are not closed, there is text between them that does not belong
                there, or the URI is malformed.

        """
        if text.startswith('"'):
            behind = end_of_quoted(text, 0, header)
            display_name = unquote(text[:behind])
            start = behind + len(text[behind:]) - len(text[behind:].lstrip(WHITESPACE))
            if not text.startswith("<", start):
                raise SipSyntaxError(400, header, behind, "expected an angle bracket after the display name")
        else:
            start = text.find("<")
            if start < 0:
                return cls._parse_addr_spec(text, header)
            display_name = text[:start].rstrip(WHITESPACE)
            if '"' in display_name or ";" in display_name:
                raise SipSyntaxError(400, header, 0, "display name is malformed")
        if text.startswith("<<", start):
            return cls._parse_doubled(text, start, display_name, header)
        end = text.find(">", start)
        if end < 0:
            raise SipSyntaxError(400, header, start, "angle bracket is not closed")
        uri = Uri.parse(text[start + 1 : end].strip(WHITESPACE), header, start + 1)
        return cls(uri, display_name, Params.parse(text[end + 1 :], header, end + 1))

    @classmethod
    def _parse_addr_spec(cls, text: str, header: str) -> Self:
        spec, semicolon, tail = text.partition(";")
        spec = spec.rstrip(WHITESPACE)
        # RFC 3261 §20.10: "if the URI contains a comma, question mark or semicolon, the URI MUST be enclosed in
        # angle brackets"
        question = spec.find("?")
        if question >= 0:
            raise SipSyntaxError(400, header, question, "URI with headers must stand in angle brackets")
        return cls(Uri.parse(spec, header), "", Params.parse(semicolon + tail, header, len(spec)))

    @classmethod
    def _parse_doubled(cls, text: str, start: int, display_name: str, header: str) -> Self:
        """Read `<<uri>;params>;params`, which OpenSIPS 3.6 sends in the Contact of a 200 to our re-INVITE."""
        inner_end = text.find(">", start)
        outer_end = text.find(">", inner_end + 1)
        if inner_end < 0 or outer_end < 0:
            raise SipSyntaxError(400, header, start, "angle bracket is not closed")
        uri = Uri.parse(text[start + 2 : inner_end].strip(WHITESPACE), header, start + 2)
        inner = Params.parse(text[inner_end + 1 : outer_end].strip(WHITESPACE), header, inner_end + 1)
        outer = Params.parse(text[outer_end + 1 :].strip(WHITESPACE), header, outer_end + 1)
        return cls(uri, display_name, Params((*inner, *outer)))

    @property
    def tag(self) -> str | None:
        """The tag parameter, or None (RFC 3261 §19.3)."""
        return self.params.get("tag")

    def with_tag(self, tag: str) -> Self:
        """Return this address with header parameter `tag`."""
        return type(self)(self.uri, self.display_name, self.params.having("tag", tag))

    def feature(self, name: str) -> str | None:
        """Return feature tag `name`, for example `+sip.src` (RFC 3840 §9); "" if it has no value.

        It is found inside the brackets as well, where some session border controllers put it.
        """
        value = self.params.get(name)
        return self.uri.params.get(name) if value is None else value

    def __str__(self) -> str:
        if not self.display_name:
            return f"<{self.uri}>{self.params}"
        plain = (TOKEN | {" "}).issuperset(self.display_name) and self.display_name == self.display_name.strip()
        shown = self.display_name if plain else quote(self.display_name)
        return f"{shown} <{self.uri}>{self.params}"
