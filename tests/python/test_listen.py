"""Taking an address: right after a kill -9 of the server that had it, and while another has it."""

import contextlib
import socket

import harness
from harness import check, check_equal, test
from till_client import Connection, encode_body, encode_frame

ROUNDS = 60
CONNECTIONS = 32

# Tables so small that it listens within milliseconds.
TINY = ["--lazy-memory"]
for table in harness.SMALL:
    TINY += [f"--{table}", "1000"]


@test
def a_server_starts_where_one_was_just_killed(run):
    """With connections in every state that the dead server leaves to the kernel."""
    folder = run.folder()
    server = run.serve(folder, TINY)
    address = server.address
    listen = [*TINY, "--listen", f"{address[0]}:{address[1]}"]
    stats = encode_frame(34, 2, encode_body("stats"))
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as stack:
            for i in range(CONNECTIONS):
                if i % 4 == 0:
                    stack.enter_context(Connection(address))  # silent
                    continue
                client = stack.enter_context(server.client())
                if i % 4 > 1:
                    client.call("sku.put", key=1 + i, sku=1 + i, price=100, currency=840)
                if i % 4 == 3:
                    client.send(stats * 50)  # and nobody reads the replies
            server.kill()
            run.servers.remove(server)
            server = run.serve(folder, listen)
        check_equal(server.address, address, "the address")
    run.finish(server)


@test
def an_address_that_another_has_is_refused(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run.till("serve", "--data", run.folder(), *TINY, "--listen", f"127.0.0.1:{port}")
        check(result.returncode != 0, "it is refused")
        check(f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr,
              f"the reason is told: {result.stderr}")
        check_equal(result.stdout, "", "what is said before")


harness.main()
