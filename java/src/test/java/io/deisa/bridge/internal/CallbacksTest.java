package io.deisa.bridge.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.deisa.bridge.Communicator;
import io.deisa.bridge.Failure;
import io.deisa.bridge.Status;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.junit.jupiter.api.Test;

/** The C functions of a bridge, called through the structs that the native library gets. */
class CallbacksTest {
    private static Native.deisa_options options(NativeArena arena) {
        return new Native.deisa_options(arena.allocate(Loader.sizeof(Native.deisa_options.class)));
    }

    @Test
    void handlerGetsTheFailureAndItsExceptionIsKept() {
        List<Failure> failures = new ArrayList<>();
        IllegalStateException own = new IllegalStateException("from the handler");
        try (NativeArena arena = new NativeArena();
                Callbacks callbacks = new Callbacks(null, failure -> {
                    failures.add(failure);
                    throw own;
                })) {
            Native.deisa_options options = options(arena);
            callbacks.install(options, arena);
            Native.deisa_error error = Errors.allocate(arena);
            Errors.write(error, Status.CONNECTION, "the node actor has gon\u00e9");
            options.error_handler().call(options.error_handler_data(), error);
            assertEquals(
                    List.of(new Failure(
                            Status.CONNECTION, -1, "", Failure.NO_TIMESTEP, "the node actor has gon\u00e9")),
                    failures);
            assertSame(own, callbacks.takeHandlerFailure());
            assertNull(callbacks.takeHandlerFailure());
            assertNull(options.communicator());
        }
    }

    @Test
    void communicatorOfOneRankGathersAndBroadcasts() {
        try (NativeArena arena = new NativeArena();
                Callbacks callbacks = new Callbacks(Communicator.single(), null)) {
            Native.deisa_options options = options(arena);
            callbacks.install(options, arena);
            Native.deisa_communicator table = options.communicator();
            Native.deisa_error error = Errors.allocate(arena);
            long sent = arena.string("twelve bytes");
            BytePointer received = new BytePointer(arena.allocate(13));
            assertEquals(0, table.rank().call(table.self()));
            assertEquals(1, table.size().call(table.self()));
            assertEquals(0, table.gather().call(table.self(), sent, 12, received, 0, 1.5, error));
            assertEquals("twelve bytes", received.getString());
            assertEquals(0, table.broadcast().call(table.self(), received, 12, 0, 1.5, error));
            assertEquals(0, table.broadcast().call(table.self(), received, 0, 0, 1.5, error));
            assertEquals(0, table.barrier().call(table.self(), 1.5, error));
        }
    }

    @Test
    void errorOfTheCommunicatorIsCutToFit() {
        Communicator verbose = new Communicator() {
            @Override
            public int rank() {
                throw new AssertionError("rank");
            }

            @Override
            public int size() {
                return 2;
            }

            @Override
            public void barrier(Duration timeout) {
                assertEquals(Duration.ofMillis(1500), timeout);
                throw new IllegalStateException("\u00e9".repeat(5000));
            }

            @Override
            public void gather(ByteBuffer sent, ByteBuffer received, int root, Duration timeout) {}

            @Override
            public void broadcast(ByteBuffer data, int root, Duration timeout) {}
        };
        try (NativeArena arena = new NativeArena();
                Callbacks callbacks = new Callbacks(verbose, null)) {
            Native.deisa_options options = options(arena);
            callbacks.install(options, arena);
            Native.deisa_communicator table = options.communicator();
            Native.deisa_error error = Errors.allocate(arena);
            assertEquals(Status.COMMUNICATOR.code(), table.barrier().call(table.self(), 1.5, error));
            Failure failure = Errors.read(error, Status.COMMUNICATOR.code());
            assertEquals(
                    "\u00e9\u00e9",
                    failure.message().substring(failure.message().length() - 2));
            assertEquals(-1, table.rank().call(table.self()));
            assertEquals(
                    IllegalStateException.class, callbacks.communicatorFailure().getClass());
        }
    }
}
