"""Each kind of key is copied, or the table says why it is not."""

import inspect

from bellhop.migration.copied_kinds import KINDS, KindToCopy, kind_of
from bellhop.privacy.key_kinds import KEY_KINDS
from bellhop.store import keys

BUILT = {
    *(value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str) and value != keys.OURS),
    *(
        function(*("0" for _ in inspect.signature(function).parameters))
        for _, function in inspect.getmembers(keys, inspect.isfunction)
        if function not in (keys.start_of, keys.claim_field, keys.raw_rq_job_key)
    ),
}


def test_every_kind_of_key_has_its_decision():
    assert {kind_of(key) for key in BUILT} == set(KINDS)


def test_copied_keys_have_the_type_by_which_they_are_copied():
    types = {kind_of(kind.start): kind.type for kind in KEY_KINDS}
    copied = {kind: decision.type for kind, decision in KINDS.items() if isinstance(decision, KindToCopy)}
    assert {kind: types.get(kind, type_) for kind, type_ in copied.items()} == copied
