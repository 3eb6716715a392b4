"""What this process holds of shared amounts: taken ahead, spent without asking anybody, given back when it is idle.

Whoever finds enough holds it at once. Whoever does not waits here, and one transaction asks the store for all that wait
for the same amount. When the store has too little, the other processes are asked to give back what they have free, for
half a second at most; only then somebody is told no, in the store's own numbers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from billing import pots
from billing.pools import Pool
from billing.pots import Back, Order, Reply
from billing.terms import MINUTE, MONEY, RUNNING, Key

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # between two looks for recalls, while something is held
RECALL_SECONDS = 0.5  # the longest somebody waits for what others give back
POLL_SECONDS = 0.03  # between two questions meanwhile
ANSWER_SECONDS = 0.9  # the longest the store may take
UNASKED_SECONDS = 1.0  # after it did not answer
IDLE_SECONDS = 2.0  # then what is free is given back
TIDY_SECONDS = 1.0
RENEW_SECONDS = pots.LEASE_SECONDS / 3
MOST_WAITING = 1000  # asked for at once

T = TypeVar("T")


class Short(Exception):
    """The store was asked, and there is not enough."""

    def __init__(self, pool: Pool, amount: int, *, spent: int = 0, held: int = 0, left: int = 0) -> None:
        super().__init__(f"{pool.key}: {amount} of {left}")
        self.pool = pool
        self.amount = amount
        self.spent = spent
        self.held = held
        self.left = left


class Unavailable(Exception):
    """The store cannot be asked, and it alone may decide this."""


class Waiter:
    __slots__ = ("amount", "granted")

    def __init__(self, amount: int, granted: asyncio.Future[Pool]) -> None:
        self.amount = amount
        self.granted = granted


class Slices:
    """One a process. Everything here is for the event loop's thread; the database is asked in two threads beside it."""

    def __init__(self, node: str, place: str = "") -> None:
        self.node = node
        self.place = place  # the folder its journal is in
        self._pools: dict[Key, Pool] = {}
        self._taking = ThreadPoolExecutor(1, thread_name_prefix="slices")
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="recalls")
        self._filling: set[asyncio.Task[None]] = set()
        self._unasked_until = 0.0
        self._away = False

    def __len__(self) -> int:
        return len(self._pools)

    @property
    def held(self) -> int:
        """Amounts that running requests hold something of."""
        return sum(pool.held != 0 for pool in self._pools.values())

    def pool(self, key: Key) -> Pool | None:
        return self._pools.get(key)

    # -- holding ------------------------------------------------------------------------

    def at_once(self, key: Key, limit: int, amount: int, now: float) -> Pool | None:
        """None: it has to be waited for."""
        pool = self._pools.get(key)
        if pool is None or pool.free < amount or now >= pool.ends_at or pool.limit != limit:
            return None
        pool.free -= amount
        pool.held += amount
        pool.used += amount
        pool.used_at = now
        return pool

    async def hold(
        self,
        key: Key,
        limit: int,
        amount: int,
        now: float,
        *,
        starts_at: float = 0.0,
        ends_at: float = float("inf"),
        currency: str = "",
        demo: bool = False,
    ) -> Pool:
        """Raises Short or Unavailable. The window is given for money; that of a minute is the store's to say."""
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(key, limit, starts_at, ends_at, currency, demo=demo)
        elif now >= pool.ends_at and key[2] != MONEY:
            pool = self._next_minute(pool)
        if pool.limit != limit:
            await self._change(pool, limit)
        if not pool.waiting and pool.hold(amount, now):
            return pool
        waiter = Waiter(amount, asyncio.get_running_loop().create_future())
        pool.waiting.append(waiter)
        if not pool.filling:
            self._fill_soon(pool)
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            granted = waiter.granted
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                granted.result().settle(amount, 0)
            raise

    def _fill_soon(self, pool: Pool) -> None:
        pool.filling = True
        task = asyncio.create_task(self._fill(pool), name="fill a pool")
        self._filling.add(task)
        task.add_done_callback(self._filling.discard)

    def _next_minute(self, pool: Pool) -> Pool:
        """What is held of the last one ends with it: its holders have the old pool."""
        new = Pool(pool.key, pool.limit)
        new.pot_id, new.others = pool.pot_id, pool.others
        new.waiting, pool.waiting = pool.waiting, []
        new.filling, pool.filling = pool.filling, False
        self._pools[pool.key] = new
        return new

    async def _change(self, pool: Pool, limit: int) -> None:
        lower, pool.limit = limit < pool.limit, limit
        if lower and pool.free > 0 and pool.pot_id:
            # Taken under another limit: it goes back, and is asked for again under this one.
            try:
                await asyncio.wait_for(self._give_back([pool]), ANSWER_SECONDS)
            except (DatabaseError, InterfaceError, TimeoutError, pots.Uncertain) as error:
                self._is_away(error or "it does not answer")

    # -- asking the store ---------------------------------------------------------------

    async def _fill(self, pool: Pool) -> None:
        try:
            while True:
                self._grant(pool)
                if not pool.waiting:
                    return
                if time.time() >= pool.ends_at and pool.key[2] != MONEY:
                    pool = self._next_minute(pool)
                batch = pool.waiting[:MOST_WAITING]
                reply = await self._ask(pool, batch)
                deadline = time.monotonic() + RECALL_SECONDS
                while reply is not None and not reply.amount and reply.waiting and time.monotonic() < deadline:
                    await asyncio.sleep(POLL_SECONDS)
                    self._grant(pool)  # what this process settled meanwhile
                    batch = pool.waiting[:MOST_WAITING]
                    if not batch:
                        return
                    reply = await self._ask(pool, batch, recall=False)
                if reply is None:
                    self._do_without(pool)
                elif reply.starts_at != pool.starts_at and pool.key[2] not in (MONEY, RUNNING):
                    pool = self._begun(pool, reply)
                elif not reply.amount:
                    self._refuse(pool, batch, reply)
        except Exception:
            log.exception("a shared amount cannot be asked for")
        finally:
            pool.filling = False
            self._do_without(pool)  # nobody waits any more, unless this was ended or failed

    def _begun(self, pool: Pool, reply: Reply) -> Pool:
        """The store has another minute than this process thought, or it is the first time we hear of one."""
        if pool.starts_at:
            pool = self._next_minute(pool)
        pool.starts_at, pool.ends_at = reply.starts_at, reply.ends_at
        return self._credited(pool, reply)

    def _credited(self, pool: Pool, reply: Reply) -> Pool:
        pool.pot_id, pool.left, pool.others = reply.pot_id, reply.left, reply.others
        pool.free += reply.amount
        return pool

    def _grant(self, pool: Pool) -> None:
        """In the order they came; nobody overtakes who needs more."""
        now = time.time()
        while pool.waiting:
            waiter = pool.waiting[0]
            if not waiter.granted.done():
                if not pool.hold(waiter.amount, now):
                    return
                waiter.granted.set_result(pool)
            pool.waiting.pop(0)

    def _refuse(self, pool: Pool, batch: Sequence[Waiter], reply: Reply) -> None:
        """The first of them, and whoever needs no less: the store has looked for all of them."""
        self._grant(pool)
        if not pool.waiting or pool.waiting[0] is not batch[0]:
            return  # what was settled in this moment was enough
        need = batch[0].amount
        asked = {id(waiter) for waiter in batch if waiter.amount >= need}
        for waiter in batch:
            if id(waiter) in asked and not waiter.granted.done():
                left = reply.left + max(0, pool.free)
                waiter.granted.set_exception(Short(pool, waiter.amount, spent=reply.spent, held=reply.held, left=left))
        pool.waiting = [waiter for waiter in pool.waiting if not waiter.granted.done()]

    def _do_without(self, pool: Pool) -> None:
        """The store does not answer. Money is its alone to give; of a limit this process uses its share."""
        if not pool.waiting:
            return
        now = time.time()
        if pool.key[2] not in (MONEY, RUNNING) and pool.ends_at == float("inf"):
            pool.ends_at = now + MINUTE
        for waiter in pool.waiting:
            if waiter.granted.done():
                continue
            if pool.key[2] == MONEY:
                waiter.granted.set_exception(Unavailable())
            elif pool.hold_softly(waiter.amount, now):
                waiter.granted.set_result(pool)
            else:
                waiter.granted.set_exception(Short(pool, waiter.amount, left=pool.remaining()))
        pool.waiting = []

    async def _ask(self, pool: Pool, batch: Sequence[Waiter], *, recall: bool = True) -> Reply | None:
        """None: no answer. One that comes late is taken all the same."""
        if pool.going is not None:
            # Some of it is on its way back: before it has arrived, the store knows of less than there is.
            await asyncio.wait([pool.going], timeout=ANSWER_SECONDS)
        if time.monotonic() < self._unasked_until:
            return None
        needs = [waiter.amount for waiter in batch]
        needs[0] -= pool.free
        order = Order(
            key=pool.key,
            limit=pool.limit,
            needs=needs,
            node=self.node,
            place=self.place,
            now=time.time(),
            pot_id=pool.pot_id,
            starts_at=pool.starts_at,
            ends_at=pool.ends_at,
            free=pool.free,
            settled=pool.settled,
            recall=recall,
            currency=pool.currency,
            demo=pool.demo,
        )
        pool.settled -= order.settled
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._taking, _with_fresh_connection, partial(pots.take, order))
        try:
            reply = await asyncio.wait_for(asyncio.shield(asked), ANSWER_SECONDS)
        except TimeoutError:
            asked.add_done_callback(partial(self._late, pool, order))
            self._is_away("it does not answer")
            return None
        except (DatabaseError, InterfaceError) as error:
            pool.settled += order.settled
            self._is_away(error)
            return None
        self._is_back()
        if reply.starts_at == pool.starts_at or pool.key[2] in (MONEY, RUNNING):
            self._credited(pool, reply)
        return reply

    def _late(self, pool: Pool, order: Order, asked: asyncio.Future[Reply]) -> None:
        if asked.cancelled() or asked.exception() is not None:
            pool.settled += order.settled
            return
        reply = asked.result()
        if reply.starts_at == pool.starts_at or pool.key[2] in (MONEY, RUNNING):
            self._credited(pool, reply)

    def _is_away(self, why: object) -> None:
        self._unasked_until = time.monotonic() + UNASKED_SECONDS
        if not self._away:
            log.error("shared limits and budgets cannot be asked for: %s", why)
        self._away = True

    def _is_back(self) -> None:
        if self._away:
            log.warning("shared limits and budgets can be asked for again")
        self._away = False

    # -- giving back ----------------------------------------------------------------------

    async def watch(self) -> None:
        """Until cancelled: answer recalls, give back what is idle, say that this process lives."""
        tidied = renewed = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._pools:
                renewed = time.monotonic()
                continue
            try:
                await self._answer_recalls()
                clock = time.monotonic()
                if clock - tidied >= TIDY_SECONDS:
                    tidied = clock
                    await self._tidy(time.time())
                if clock - renewed >= RENEW_SECONDS:
                    renewed = clock
                    await self._look(partial(pots.renew, self.node, time.time()))
            except (DatabaseError, InterfaceError, pots.Uncertain) as error:
                self._is_away(error)
                await asyncio.sleep(UNASKED_SECONDS)
            except Exception:
                # Without this watch nothing would ever be given back.
                log.exception("slices are not watched")

    async def _answer_recalls(self) -> None:
        numbers = await self._look(partial(pots.recalled, self.node))
        if numbers:
            ours = {pool.pot_id: pool for pool in self._pools.values()}
            await self._give_back([ours[number] for number in numbers if number in ours])
            gone = [Back(number) for number in numbers if number not in ours]
            if gone:
                await self._look(partial(pots.give_back, gone, self.node, self.place))

    async def _tidy(self, now: float) -> None:
        idle = [
            pool
            for pool in self._pools.values()
            if now - pool.used_at > IDLE_SECONDS and (pool.free or pool.settled) and pool.pot_id
        ]
        if idle:
            await self._give_back(idle)
        over = [key for key, pool in self._pools.items() if _is_over(pool, now)]
        for key in over:
            del self._pools[key]

    async def _give_back(self, some: Iterable[Pool]) -> None:
        taken_out = []
        arrived = asyncio.get_running_loop().create_future()
        for pool in some:
            if pool.going is None:
                taken_out.append((pool, pool.free, pool.settled))
                pool.free = pool.settled = 0
                pool.going = arrived
        if not taken_out:
            return
        try:
            await self._send_back(taken_out)
        finally:
            for pool, _, _ in taken_out:
                pool.going = None
            arrived.set_result(None)

    async def _send_back(self, taken_out: Sequence[tuple[Pool, int, int]]) -> None:
        backs = [
            Back(pool.pot_id, free, settled, None if pool.books or pool.key[2] == RUNNING else pool.starts_at)
            for pool, free, settled in taken_out
        ]
        try:
            await self._look(partial(pots.give_back, backs, self.node, self.place))
        except (DatabaseError, InterfaceError):
            # It was not done: what is held goes on serving. (Where nobody knows, it is lost to this process.)
            for pool, free, settled in taken_out:
                pool.free += free
                pool.settled += settled
            raise
        for pool, free, _ in taken_out:
            pool.left += free

    async def _look(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._looking, _with_fresh_connection, work)

    async def close(self) -> None:
        """What is left in the store of this process goes when its journal is in the ledger: `pots.free_node`."""
        for task in self._filling:
            task.cancel()
        await asyncio.gather(*self._filling, return_exceptions=True)
        for threads in (self._taking, self._looking):
            threads.submit(connections.close_all)
            threads.shutdown(wait=False)


def _is_over(pool: Pool, now: float) -> bool:
    """Of a minute when it ends, since answers tell what is left of it; else when nothing would be lost."""
    if pool.waiting or pool.filling:
        return False
    if pool.books or pool.key[2] == RUNNING:
        return pool.idle and now - pool.used_at > IDLE_SECONDS
    return now >= pool.ends_at


def _with_fresh_connection(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
