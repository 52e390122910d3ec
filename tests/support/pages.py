# SPDX-License-Identifier: Apache-2.0
"""A browser without a script and without eyes: reads pages, follows links, fills forms in and sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin

VOID = {"meta", "link", "input", "br", "hr", "img"}


@dataclass
class Form:
    """What a form holds. buttons: name, value and words of each."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """One page, read."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.raw, self.words, self.wrong = text, "", []
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.headings = 0
        self._labels: set[str] = set()
        self._needed: list[str] = []
        self._ids: list[str] = []
        self._open: list[tuple[str, dict[str, str], int]] = []
        self._form: Form | None = None
        self.feed(text)
        self.close()
        self.wrong += [f"no label for {one}" for one in self._needed if one not in self._labels]
        self.wrong += [f"id {one} is there twice" for one in set(self._ids) if self._ids.count(one) > 1]
        self.wrong += [f"never closed: {tag}" for tag, _, _ in self._open]
        self.wrong += [] if self.headings == 1 else [f"{self.headings} headings of the first order"]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        self._check(tag, given)
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get"))
            self.forms.append(self._form)
        if self._form is not None and given.get("name") and tag == "input":
            kind = given.get("type", "text")
            into = self._form.boxes if kind in ("checkbox", "radio") else self._form.fields
            into.append((given["name"], given.get("value", "")))
        if tag not in VOID:
            self._open.append((tag, given, len(self.words)))

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            self.wrong.append(f"{tag} is closed, {self._open[-1:]} is open")
            return
        _, given, at = self._open.pop()
        said = self.words[at:]
        if tag == "a" and "href" in given:
            self.links.append((given["href"], " ".join(said.split())))
        elif tag == "button" and self._form is not None:
            self._form.buttons.append((given.get("name", ""), given.get("value", ""), " ".join(said.split())))
        elif tag == "textarea" and self._form is not None:
            self._form.fields.append((given["name"], said.removeprefix("\n")))
        elif tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        self.words += data

    def _check(self, tag: str, given: dict[str, str]) -> None:
        if "style" in given or tag == "style" or any(name.startswith("on") for name in given):
            self.wrong.append(f"{tag} has a style or a script of its own")
        if tag == "script" and not given.get("src"):
            self.wrong.append("a script in the page")
        if tag in ("input", "select", "textarea") and given.get("type") not in ("hidden", "checkbox", "radio"):
            self._needed.append(given.get("id", "?"))
        if tag == "label" and "for" in given:
            self._labels.add(given["for"])
        if "id" in given:
            self._ids.append(given["id"])
        self.headings += tag == "h1"

    def form(self, button: str) -> Form:
        """The first form that has a button of these words."""
        return next(one for one in self.forms if any(words == button for _, _, words in one.buttons))

    def has(self, button: str) -> bool:
        """Is there such a button?"""
        return any(words == button for one in self.forms for _, _, words in one.buttons)


class Reader:
    """Somebody at the console. client: an HTTP client with its own cookies."""

    def __init__(self, client: Any) -> None:
        self.client, self.url, self.page = client, "/", Page("<h1></h1>")
        self.status, self.headers = 0, {}

    async def open(self, path: str, **headers: str) -> Page:
        """Goes to a page, and on to where it leads."""
        answer = await self.client.get(path, headers={"Accept": "text/html", **headers}, follow_redirects=True)
        return self._read(answer)

    async def press(self, button: str, *, boxes: tuple[str, ...] = (), **filled: str) -> Page:
        """Fills in the form that has this button, and sends it. boxes: values of those that are ticked."""
        form = self.page.form(button)
        fields = {name: value for name, value in form.fields if name != "letter"} | filled
        pairs = [*fields.items(), *[pair for pair in form.fields if pair[0] == "letter"],
                 *[pair for pair in form.boxes if pair[1] in boxes]]
        pairs += [(name, value) for name, value, words in form.buttons if words == button and name][:1]
        return await self.send(urljoin(self.url, form.action), pairs)

    async def send(self, path: str, pairs: Any) -> Page:
        """Sends a form that is on no page."""
        answer = await self.client.post(path, content=urlencode(pairs), follow_redirects=True, headers={
            "Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded",
            "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"})
        return self._read(answer)

    def _read(self, answer: Any) -> Page:
        self.status, self.headers, self.url = answer.status_code, answer.headers, answer.url.raw_path.decode()
        self.page = Page(answer.text if answer.headers["content-type"].startswith("text/html") else "<h1></h1>")
        return self.page
