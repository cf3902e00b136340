"""Chunks and threads: same bounds, same order, for any number of threads."""

import threading

import pytest

from kernels.threads import chunks, run_chunks, thread_count


def test_chunks_cover_once():
    assert chunks(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert chunks(0, 4) == []


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_results_keep_their_order(monkeypatch, threads):
    monkeypatch.setenv("LACUNA_THREADS", threads)
    assert thread_count() == int(threads)
    assert run_chunks(lambda a, b: a * 100 + b, chunks(9, 2)) == [2, 204, 406, 608, 809]


def test_an_error_in_a_chunk_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        run_chunks(lambda a: 1 / a, [(1,), (0,)])


def test_chunks_of_a_chunk_stay_in_its_thread(monkeypatch):
    monkeypatch.setenv("LACUNA_THREADS", "3")

    def outer(n):
        return {threading.get_ident(), *run_chunks(lambda m: threading.get_ident(), [(m,) for m in range(4)])}

    assert all(len(threads) == 1 for threads in run_chunks(outer, [(n,) for n in range(3)]))
    assert threading.get_ident() not in run_chunks(lambda m: threading.get_ident(), [(m,) for m in range(4)])
