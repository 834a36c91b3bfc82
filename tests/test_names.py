"""Names are bytes: shown without commanding the terminal, hashed as they stand, found however they are spelt."""

import hashlib
import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.errors import LimenError
from limen.names import Folders, Names, name_bytes, visible

ACCENTS = "Zoë Çelik"
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, ACCENTS) for form in ("NFC", "NFD"))
# What a file system may hand out: any bytes but NUL.
names = st.binary(min_size=1, max_size=20).map(lambda data: os.fsdecode(data.replace(b"\0", b"0")))


@settings(deadline=None)
@given(names)
def test_what_is_shown_can_be_printed_and_commands_no_terminal(name):
    shown = visible(name)
    shown.encode("utf-8")
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Zoë 🙂", "Zoë 🙂"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        (os.fsdecode(b"Jos\xe9"), "Jos\\xe9"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
    ],
)
def test_controls_and_odd_bytes_are_spelt_out(name, shown):
    assert visible(name) == shown
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@settings(deadline=None)
@given(names)
def test_the_hash_is_of_the_bytes_on_the_disk(name):
    assert hashlib.sha256(name_bytes(name)).digest() == hashlib.sha256(os.fsencode(name)).digest()


def test_a_name_is_found_as_written_or_spelt_alike():
    people = Names([DECOMPOSED, "ANN", "ann", "Bo"])
    assert people.find("ann") == "ann"
    assert people.find(COMPOSED) == DECOMPOSED
    assert people.find(COMPOSED.upper()) == DECOMPOSED
    assert people.find("bo ") == "Bo"
    assert people.find("Cy", "Bo") == "Bo"
    assert people.find("Cy") is None
    with pytest.raises(LimenError, match="Ann: may be ANN or ann"):
        people.find("Ann")


def test_files_are_found_below_a_folder_and_other_spellings_are_told(tmp_path):
    (tmp_path / DECOMPOSED).mkdir()
    (tmp_path / DECOMPOSED / "0001.PNG").write_text("")
    folders = Folders(tmp_path)
    assert folders.find([DECOMPOSED], ["0001.PNG"]) == tmp_path / DECOMPOSED / "0001.PNG"
    assert not folders.respelt
    assert folders.find([COMPOSED], ["1.png", "0001.png"]) == tmp_path / DECOMPOSED / "0001.PNG"
    assert folders.respelt == {COMPOSED: DECOMPOSED, "1.png": "0001.PNG"}
    assert folders.find(["nobody"], ["0001.PNG"]) is None
    assert folders.find([DECOMPOSED, "0001.PNG"], ["x"]) is None
