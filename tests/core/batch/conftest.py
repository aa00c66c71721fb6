import pytest


@pytest.fixture(scope="session")
def client():
    """A cluster of two processes on this machine."""
    pytest.importorskip("distributed")
    from ptychoproduct.batch.cluster import connected

    with connected("local:2") as client:
        yield client


@pytest.fixture(scope="session")
def client_in_process():
    """A cluster of threads of this process."""
    pytest.importorskip("distributed")
    from ptychoproduct.batch.cluster import connected

    with connected("local:2", in_process=True) as client:
        yield client
