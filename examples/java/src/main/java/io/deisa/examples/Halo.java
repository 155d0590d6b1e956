package io.deisa.examples;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntToDoubleFunction;

/**
 * The exchange of ghost cells between neighbouring ranks, over TCP on this machine: what MPI does in a C simulation. Rank r
 * listens on port {@code firstPort + r}; the neighbour below or to the right connects. Not thread-safe.
 */
final class Halo implements AutoCloseable {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    private static final int RETRY_MILLISECONDS = 50;

    // A connection to one neighbour.
    private record Link(Socket socket, DataInputStream in, DataOutputStream out) {}

    private final Grid grid;
    private final Map<Integer, Link> links = new HashMap<>();

    /** Connects this rank to its neighbours, and waits for each up to a minute. */
    Halo(Grid grid, int firstPort) throws IOException {
        this.grid = grid;
        long deadline = System.nanoTime() + TIMEOUT.toNanos();
        try (ServerSocket server = new ServerSocket()) {
            if (grid.below() != Grid.NONE || grid.right() != Grid.NONE) {
                server.setReuseAddress(true);
                server.bind(address(firstPort, grid.rank()));
            }
            connect(grid.above(), firstPort, deadline);
            connect(grid.left(), firstPort, deadline);
            accept(server, deadline);
        } catch (IOException | RuntimeException failure) {
            close();
            throw failure;
        }
    }

    private static InetSocketAddress address(int firstPort, int rank) {
        return new InetSocketAddress(InetAddress.getLoopbackAddress(), firstPort + rank);
    }

    private void connect(int neighbour, int firstPort, long deadline) throws IOException {
        if (neighbour == Grid.NONE) {
            return;
        }
        while (true) {
            Socket socket = new Socket();
            try {
                socket.connect(address(firstPort, neighbour), millisecondsUntil(deadline));
                add(neighbour, socket).out().writeInt(grid.rank());
                return;
            } catch (IOException notYet) {
                socket.close();
                if (System.nanoTime() + RETRY_MILLISECONDS * 1_000_000L > deadline) {
                    throw new IOException(
                            "rank " + grid.rank() + ": no connection to rank " + neighbour + ": " + notYet, notYet);
                }
            }
            try {
                Thread.sleep(RETRY_MILLISECONDS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                throw new IOException("rank " + grid.rank() + ": interrupted", interrupted);
            }
        }
    }

    private void accept(ServerSocket server, long deadline) throws IOException {
        int expected = (grid.below() == Grid.NONE ? 0 : 1) + (grid.right() == Grid.NONE ? 0 : 1);
        for (int i = 0; i < expected; i++) {
            try {
                server.setSoTimeout(millisecondsUntil(deadline));
                Socket socket = server.accept();
                socket.setSoTimeout(millisecondsUntil(deadline));
                int neighbour = new DataInputStream(socket.getInputStream()).readInt();
                if ((neighbour != grid.below() && neighbour != grid.right()) || links.containsKey(neighbour)) {
                    socket.close();
                    throw new IOException("somebody says that they are rank " + neighbour);
                }
                add(neighbour, socket);
            } catch (IOException failure) {
                throw new IOException(
                        "rank " + grid.rank() + ": waited for rank " + grid.below() + " below and rank " + grid.right()
                                + " to the right (-1: none): " + failure,
                        failure);
            }
        }
    }

    private static int millisecondsUntil(long deadline) {
        return (int) Math.max(1, (deadline - System.nanoTime()) / 1_000_000);
    }

    private Link add(int neighbour, Socket socket) throws IOException {
        socket.setTcpNoDelay(true);
        socket.setSoTimeout((int) TIMEOUT.toMillis());
        Link link = new Link(
                socket, new DataInputStream(socket.getInputStream()), new DataOutputStream(socket.getOutputStream()));
        links.put(neighbour, link);
        return link;
    }

    // Where a received value goes.
    private interface Ghost {
        void set(int index, double value);
    }

    /** Fills the ghost cells from the neighbours; at an edge of the square, where nothing flows, from the cell beside them. */
    void exchange(Block block) throws IOException {
        int rows = block.rows;
        int columns = block.columns;
        // Even rows of ranks first meet the one below, odd rows the one above; so each pair meets at the same time.
        for (int phase = 0; phase < 2; phase++) {
            if (grid.row() % 2 == phase) {
                meet(
                        grid.below(),
                        true,
                        columns,
                        j -> block.get(rows - 1, j),
                        (j, value) -> block.setGhost(rows, j, value));
            } else {
                meet(grid.above(), false, columns, j -> block.get(0, j), (j, value) -> block.setGhost(-1, j, value));
            }
        }
        for (int phase = 0; phase < 2; phase++) {
            if (grid.column() % 2 == phase) {
                meet(
                        grid.right(),
                        true,
                        rows,
                        i -> block.get(i, columns - 1),
                        (i, value) -> block.setGhost(i, columns, value));
            } else {
                meet(grid.left(), false, rows, i -> block.get(i, 0), (i, value) -> block.setGhost(i, -1, value));
            }
        }
    }

    private void meet(int neighbour, boolean sendsFirst, int count, IntToDoubleFunction edge, Ghost ghost)
            throws IOException {
        if (neighbour == Grid.NONE) {
            for (int i = 0; i < count; i++) {
                ghost.set(i, edge.applyAsDouble(i));
            }
            return;
        }
        ByteBuffer bytes = ByteBuffer.allocate(count * Double.BYTES);
        for (int i = 0; i < count; i++) {
            bytes.putDouble(edge.applyAsDouble(i));
        }
        Link link = links.get(neighbour);
        byte[] received = new byte[bytes.capacity()];
        try {
            if (sendsFirst) {
                link.out().write(bytes.array());
                link.in().readFully(received);
            } else {
                link.in().readFully(received);
                link.out().write(bytes.array());
            }
        } catch (IOException failure) {
            throw new IOException(
                    "rank " + grid.rank() + ": the exchange with rank " + neighbour + " failed: " + failure, failure);
        }
        ByteBuffer values = ByteBuffer.wrap(received);
        for (int i = 0; i < count; i++) {
            ghost.set(i, values.getDouble());
        }
    }

    @Override
    public void close() throws IOException {
        for (Link link : links.values()) {
            link.socket().close();
        }
        links.clear();
    }
}
