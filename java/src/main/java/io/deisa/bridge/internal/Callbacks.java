package io.deisa.bridge.internal;

import io.deisa.bridge.Communicator;
import io.deisa.bridge.ErrorHandler;
import io.deisa.bridge.Status;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
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
    public void install(Deisa.Options options, NativeArena arena) {
        if (communicator != null) {
            long size = Loader.sizeof(Deisa.CommunicatorTable.class);
            options.communicator(new Deisa.CommunicatorTable(arena.allocate(size))
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

    private int communicate(String what, Deisa.Error error, Work work) {
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

    private static ByteBuffer view(Pointer memory, long bytes) {
        if (memory == null || memory.isNull()) {
            return null;
        }
        if (bytes > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(bytes + " bytes do not fit into a ByteBuffer");
        }
        if (bytes == 0) {
            return ByteBuffer.allocateDirect(0).order(ByteOrder.nativeOrder());
        }
        return memory.capacity(bytes).asByteBuffer();
    }

    /** The C functions. They have no state: the bridge they serve comes with each call, as {@code self}. */
    private static final class Trampolines {
        static final Deisa.CountFunction RANK = new Deisa.CountFunction() {
            @Override
            public int call(Pointer self) {
                return of(self).count(Communicator::rank);
            }
        };
        static final Deisa.CountFunction SIZE = new Deisa.CountFunction() {
            @Override
            public int call(Pointer self) {
                return of(self).count(Communicator::size);
            }
        };
        static final Deisa.BarrierFunction BARRIER = new Deisa.BarrierFunction() {
            @Override
            public int call(Pointer self, double timeout, Deisa.Error error) {
                return of(self).communicate("barrier", error, c -> c.barrier(seconds(timeout)));
            }
        };
        static final Deisa.GatherFunction GATHER = new Deisa.GatherFunction() {
            @Override
            public int call(
                    Pointer self,
                    Pointer sent,
                    long bytes,
                    Pointer received,
                    int root,
                    double timeout,
                    Deisa.Error error) {
                return of(self).communicate("gather", error, c -> {
                    boolean here = c.rank() == root;
                    c.gather(
                            view(sent, bytes).asReadOnlyBuffer().order(ByteOrder.nativeOrder()),
                            here ? view(received, Math.multiplyExact(bytes, (long) c.size())) : null,
                            root,
                            seconds(timeout));
                });
            }
        };
        static final Deisa.BroadcastFunction BROADCAST = new Deisa.BroadcastFunction() {
            @Override
            public int call(Pointer self, Pointer data, long bytes, int root, double timeout, Deisa.Error error) {
                return of(self).communicate(
                                "broadcast", error, c -> c.broadcast(view(data, bytes), root, seconds(timeout)));
            }
        };
        static final Deisa.HandlerFunction HANDLER = new Deisa.HandlerFunction() {
            @Override
            public void call(Pointer userData, Deisa.Error error) {
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
