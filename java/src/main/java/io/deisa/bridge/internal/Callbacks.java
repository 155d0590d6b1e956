package io.deisa.bridge.internal;

import io.deisa.bridge.Communicator;
import io.deisa.bridge.ErrorHandler;
import io.deisa.bridge.Status;
import io.deisa.bridge.internal.Native.deisa_communicator;
import io.deisa.bridge.internal.Native.deisa_error;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import org.apache.arrow.memory.util.MemoryUtil;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;

/**
 * The communicator and error handler of one bridge, as the native library calls them. Nothing that they throw crosses C: it
 * is kept here, for the call on the bridge to throw. The native library keeps the pointer to it, so this must be closed after
 * the native bridge has gone, and not before.
 */
public final class Callbacks implements AutoCloseable {
    private final Communicator communicator; // or null
    private final ErrorHandler handler; // or null
    private final Pointer self;
    private Throwable ofCommunicator;
    private Throwable ofHandler;

    /** Either may be null. */
    public Callbacks(Communicator communicator, ErrorHandler handler) {
        this.communicator = communicator;
        this.handler = handler;
        this.self = Loader.newGlobalRef(this);
    }

    /** Fills in what the options say about callbacks; {@code arena} must outlive the call of deisa_open. */
    public void install(Native.deisa_options options, NativeArena arena) {
        if (communicator != null) {
            long size = Loader.sizeof(deisa_communicator.class);
            options.communicator(new deisa_communicator(arena.allocate(size))
                    .struct_size(size)
                    .self(self)
                    .rank(Trampolines.RANK)
                    .size(Trampolines.SIZE)
                    .barrier(Trampolines.BARRIER)
                    .gather(Trampolines.GATHER)
                    .broadcast(Trampolines.BROADCAST));
        }
        if (handler != null) {
            options.error_handler(Trampolines.HANDLER).error_handler_data(self);
        }
    }

    /** What the communicator threw, if it broke; it stays broken. */
    public Throwable communicatorFailure() {
        return ofCommunicator;
    }

    /** What the handler threw during the last call, or null; taken once. */
    public Throwable takeHandlerFailure() {
        Throwable taken = ofHandler;
        ofHandler = null;
        return taken;
    }

    @Override
    public void close() {
        Loader.deleteGlobalRef(self);
    }

    private interface Work {
        void run(Communicator communicator) throws Exception;
    }

    private int communicate(String what, deisa_error error, Work work) {
        try {
            work.run(communicator);
            return Status.OK.code();
        } catch (Throwable thrown) {
            if (thrown instanceof InterruptedException) {
                Thread.currentThread().interrupt();
            }
            if (ofCommunicator == null) {
                ofCommunicator = thrown;
            }
            Errors.write(error, Status.COMMUNICATOR, "the program's communicator failed in " + what + ": " + thrown);
            return Status.COMMUNICATOR.code();
        }
    }

    private int count(Count work) {
        try {
            return work.run(communicator);
        } catch (Throwable thrown) {
            if (ofCommunicator == null) {
                ofCommunicator = thrown;
            }
            return -1;
        }
    }

    private interface Count {
        int run(Communicator communicator);
    }

    private static Callbacks of(Pointer self) {
        return (Callbacks) Loader.accessGlobalRef(self);
    }

    private static Duration seconds(double seconds) {
        return Duration.ofNanos((long) Math.min(seconds * 1e9, Long.MAX_VALUE));
    }

    private static ByteBuffer view(long memory, long bytes) {
        if (bytes > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(bytes + " bytes do not fit into a ByteBuffer");
        }
        return MemoryUtil.directBuffer(memory, (int) bytes).order(ByteOrder.nativeOrder());
    }

    /** The C functions. They have no state: the bridge they serve comes with each call, as {@code self}. */
    private static final class Trampolines {
        static final deisa_communicator.rank_function RANK = new deisa_communicator.rank_function() {
            @Override
            public int call(Pointer self) {
                return of(self).count(Communicator::rank);
            }
        };
        static final deisa_communicator.size_function SIZE = new deisa_communicator.size_function() {
            @Override
            public int call(Pointer self) {
                return of(self).count(Communicator::size);
            }
        };
        static final deisa_communicator.barrier_function BARRIER = new deisa_communicator.barrier_function() {
            @Override
            public int call(Pointer self, double timeout, deisa_error error) {
                return of(self).communicate("barrier", error, c -> c.barrier(seconds(timeout)));
            }
        };
        static final deisa_communicator.gather_function GATHER = new deisa_communicator.gather_function() {
            @Override
            public int call(
                    Pointer self,
                    long sent,
                    long bytes,
                    Pointer received,
                    int root,
                    double timeout,
                    deisa_error error) {
                return of(self).communicate("gather", error, c -> {
                    boolean here = c.rank() == root;
                    c.gather(
                            view(sent, bytes).asReadOnlyBuffer().order(ByteOrder.nativeOrder()),
                            here ? view(received.address(), Math.multiplyExact(bytes, (long) c.size())) : null,
                            root,
                            seconds(timeout));
                });
            }
        };
        static final deisa_communicator.broadcast_function BROADCAST = new deisa_communicator.broadcast_function() {
            @Override
            public int call(Pointer self, Pointer data, long bytes, int root, double timeout, deisa_error error) {
                return of(self).communicate(
                                "broadcast",
                                error,
                                c -> c.broadcast(view(data.address(), bytes), root, seconds(timeout)));
            }
        };
        static final Native.deisa_error_handler HANDLER = new Native.deisa_error_handler() {
            @Override
            public void call(Pointer userData, deisa_error error) {
                Callbacks callbacks = of(userData);
                try {
                    callbacks.handler.failed(Errors.read(error, error.status()));
                } catch (Throwable thrown) {
                    if (callbacks.ofHandler == null) {
                        callbacks.ofHandler = thrown;
                    } else {
                        callbacks.ofHandler.addSuppressed(thrown);
                    }
                }
            }
        };
    }
}
