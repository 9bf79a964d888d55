"""Where a command runs on a Redis Cluster. Pure.

All keys of a command have one home. It chooses the partition, and all keys get the tag of that partition. Only the
clients of a cluster use this: on one server, no key has a tag (docs/decisions/0020-a-key-has-a-home.md).
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from bellhop.store.homes import Home, Partition, home_of, partition_of, tag_of
from bellhop.store.scripts import AnyCommand, Argument, Command, RawCommand, in_partition

T = TypeVar("T", bound=Hashable)

WITHOUT_KEYS = frozenset({"TIME", "PING", "PUBLISH", "SCRIPT", "ECHO", "CLUSTER", "INFO", "ACL", "CONFIG", "WAIT"})
_ONLY_KEYS = frozenset({"MGET", "EXISTS", "DEL", "UNLINK"})
_TWO_KEYS = frozenset({"COPY", "RENAME", "LMOVE", "BLMOVE"})
_READS = frozenset(
    {
        *("GET", "MGET", "STRLEN", "EXISTS", "TYPE", "TTL", "PTTL", "TIME", "PING", "SCAN"),
        *("HGET", "HMGET", "HGETALL", "HKEYS", "HVALS", "HLEN", "HEXISTS", "HSCAN"),
        *("LRANGE", "LLEN", "LINDEX", "LPOS", "SMEMBERS", "SCARD", "SISMEMBER", "SSCAN", "XREVRANGE"),
        *("ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE", "ZSCORE", "ZMSCORE", "ZCARD", "ZCOUNT", "ZSCAN"),
    }
)


class Routed(NamedTuple):
    """A command, and where it runs."""

    partition: Partition
    command: AnyCommand
    """With the names that its keys have there."""
    reads: bool
    """Whether it changes nothing."""


def route(commands: Sequence[AnyCommand], among: Sequence[Partition], own: Partition | None = None) -> list[Routed]:
    """Return where each command runs. A command without keys runs where the command before it does, or the one behind.

    `own`: the partition of keys that each partition has. Raises ValueError if the keys of a command have several homes,
    or name none.
    """
    partitions = [_partition(keys_of(command), among, own) for command in commands]
    current = next(filter(None, partitions), own or among[0])
    routed = []
    for command, partition in zip(commands, partitions, strict=True):
        current = partition or current
        reads = not isinstance(command, Command) and command[0] in _READS
        routed.append(Routed(current, _in_partition(command, current), reads))
    return routed


def stages(nodes: Sequence[T], reads: Sequence[bool]) -> list[range]:
    """Cut commands into stages, which run one after the other. In each, all commands go to one node, or all read.

    `nodes`: the node of each command. `reads`: whether the command changes nothing. Within a stage, nothing depends on
    the order of commands on different nodes.
    """
    first, cut = 0, []
    for number in range(1, len(nodes)):
        apart = any(node != nodes[number] for node in nodes[first:number])
        if apart and not all(reads[first : number + 1]):
            cut.append(range(first, number))
            first = number
    return [*cut, range(first, len(nodes))]


def split(command: AnyCommand, among: Sequence[Partition], own: Partition | None = None) -> list[AnyCommand]:
    """Return one command for each key, if the command allows that and its keys are in several partitions."""
    if isinstance(command, Command) or command[0] not in _ONLY_KEYS or len(command) < 3:
        return [command]
    partitions = {_partition([key], among, own) for key in keys_of(command)}
    return [command] if len(partitions) == 1 else [(command[0], key) for key in command[1:]]


def plan(
    commands: Sequence[AnyCommand], among: Sequence[Partition], own: Partition | None = None
) -> tuple[list[Routed], Callable[[Sequence[Any]], list[Any]]]:
    """Return what to run, and a function that turns the answers to that into the answers to `commands`."""
    parts = [split(command, among, own) for command in commands]

    def answers_of(answers: Sequence[Any]) -> list[Any]:
        left = iter(answers)
        return [
            merged(command, [next(left) for _ in of_command])
            for command, of_command in zip(commands, parts, strict=True)
        ]

    return route([part for command in parts for part in command], among, own), answers_of


def merged(command: AnyCommand, answers: Sequence[Any]) -> Any:
    """Return the answer of a command from the answers of what `split` made of it. The first error is the answer."""
    if len(answers) == 1:
        return answers[0]
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    if errors:
        return errors[0]
    return [value for answer in answers for value in answer] if command[0] == "MGET" else sum(answers)


def keys_of(command: AnyCommand) -> Sequence[str]:
    """Return the keys of a command."""
    if isinstance(command, Command):
        return command.keys
    return [_text(key) for key in command[_key_positions(command)]]


def _key_positions(command: RawCommand) -> slice:
    name = command[0]
    if name in WITHOUT_KEYS:
        return slice(0, 0)
    if name in _ONLY_KEYS:
        return slice(1, None)
    if name == "SCAN":  # SCAN cursor MATCH pattern (bellhop/store/scanning.py)
        return slice(3, 4)
    if name in ("EVAL", "EVALSHA"):
        return slice(3, 3 + int(command[2]))
    return slice(1, 3 if name in _TWO_KEYS else 2)


def _partition(keys: Iterable[str], among: Sequence[Partition], own: Partition | None) -> Partition | None:
    """Return where these keys are; None without keys."""
    named, each_has, any_key = set(), False, False
    for key in keys:
        any_key = True
        if tag := tag_of(key):
            named.add(Partition(tag))
            continue
        home = home_of(key)
        if home.name:
            named.add(partition_of(home, among))
        elif home.kind == "partition":
            each_has = True
    if len(named) > 1:
        raise ValueError(f"keys of several partitions: {sorted(keys)}")
    if named:
        return named.pop()
    if each_has:
        if own is None:
            raise ValueError(f"keys that each partition has, and none is named: {sorted(keys)}")
        return own
    return _partition_of_lone_key(keys, among) if any_key else None


def _partition_of_lone_key(keys: Iterable[str], among: Sequence[Partition]) -> Partition:
    """Return the partition of a key that does not name its home, and stands alone here."""
    (key,) = keys
    if home_of(key).kind == "e-mail":
        raise ValueError(f"the key does not name its e-mail: {key}")
    return partition_of(Home("call", key), among)


def _in_partition(command: AnyCommand, partition: Partition) -> AnyCommand:
    """Return the command with the names that its keys have in the partition."""
    if isinstance(command, Command):
        return in_partition(command, partition)
    first, last, _ = _key_positions(command).indices(len(command))
    keys = (_key_in_partition(key, partition) for key in command[first:last])
    return (*command[:first], *keys, *command[last:])


def _key_in_partition(key: Argument, partition: Partition) -> Argument:
    in_partition = partition.key(_text(key))
    return in_partition.encode("utf-8", "surrogateescape") if isinstance(key, bytes) else in_partition


def _text(key: Argument) -> str:
    return key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else str(key)
