package io.deisa.bridge;

import io.deisa.bridge.internal.Deisa;
import io.deisa.bridge.internal.NativeArena;
import io.deisa.bridge.internal.PackedValues;
import java.util.Optional;
import org.apache.arrow.memory.util.MemoryUtil;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.LongPointer;

/**
 * The values that the analytics set. Reading never waits for a value: without one, the fallback is returned. Numbers and
 * booleans convert when they fit exactly.
 *
 * <p>A failure to read goes to the error handler, and the fallback is returned; or it is thrown, with {@link
 * Options#raisingErrors()}. A value of another type than asked for is an {@link InvalidArgumentException}. Thread-safe,
 * immutable; ends with its bridge.
 */
public final class Feedback {
    private final Bridge bridge;
    private final long timestep;
    private final int flags;

    Feedback(Bridge bridge, long timestep, int flags) {
        this.bridge = bridge;
        this.timestep = timestep;
        this.flags = flags;
    }

    /** Reads values that were set for this timestep, in place of the newest ones. */
    public Feedback at(long timestep) {
        return new Feedback(bridge, timestep, flags);
    }

    /** Reads collectively: every rank calls, rank 0 reads, and all get the same answer. */
    public Feedback collective() {
        return new Feedback(bridge, timestep, flags | Deisa.COLLECTIVE);
    }

    /** A number. */
    public double getDouble(String key, double fallback) {
        return bridge.feedback((handle, memory, error, check) -> {
            DoublePointer value = new DoublePointer(memory.allocate(Double.BYTES));
            Status status =
                    check.apply(Deisa.deisa_get_double(handle, key(key, memory), timestep, flags, value, error));
            return status == Status.OK ? value.get() : fallback;
        });
    }

    /** An integer. */
    public long getLong(String key, long fallback) {
        Optional<Long> value = integer(key);
        return value.isPresent() ? value.get() : fallback;
    }

    /** A boolean, 0 or 1. */
    public boolean getBoolean(String key, boolean fallback) {
        Optional<Long> value = integer(key);
        if (value.isPresent() && value.get() != 0 && value.get() != 1) {
            throw invalid("feedback value '" + key + "' is " + value.get() + ": expected a boolean, 0 or 1");
        }
        return value.isPresent() ? value.get() == 1 : fallback;
    }

    /** A string. */
    public String getString(String key, String fallback) {
        Optional<byte[]> packed = getPacked(key);
        if (packed.isEmpty()) {
            return fallback;
        }
        if (decode(key, packed.get()) instanceof String text) {
            return text;
        }
        throw invalid("feedback value '" + key + "' is not a string");
    }

    /**
     * Any value: null, Boolean, Long (BigInteger above Long's range), Double, String, byte[], List, Map with string keys, or
     * {@link NdArray}. A stored null is a value: {@code fallback} stands for no value.
     */
    public Object get(String key, Object fallback) {
        Optional<byte[]> packed = getPacked(key);
        return packed.isPresent() ? decode(key, packed.get()) : fallback;
    }

    /**
     * As {@link #get(String, Object)}. {@code chunked} is reserved for values in chunks, which are not implemented.
     *
     * @throws DeisaException with {@link Status#UNSUPPORTED} if {@code chunked} is true
     */
    public Object get(String key, Object fallback, boolean chunked) {
        return chunked ? new Feedback(bridge, timestep, flags | Deisa.CHUNKED).get(key, fallback) : get(key, fallback);
    }

    /** The value's MessagePack; NumPy arrays are extension type 1, MessagePack [dtype name, shape, bytes]. */
    public Optional<byte[]> getPacked(String key) {
        return bridge.feedback((handle, memory, error, check) -> {
            LongPointer address = new LongPointer(memory.allocate(Long.BYTES));
            LongPointer size = new LongPointer(memory.allocate(Long.BYTES));
            Status status = check.apply(
                    Deisa.deisa_get_packed(handle, key(key, memory), timestep, flags, address, size, error));
            return status == Status.OK ? Optional.of(copy(address.get(), size.get())) : Optional.empty();
        });
    }

    /** Hides the value from the bridges of this node until the analytics set a newer one; a missing key is no error. */
    public Status delete(String key) {
        return bridge.feedback(
                (handle, memory, error, check) -> check.apply(Deisa.deisa_delete(handle, key(key, memory), error)));
    }

    private Optional<Long> integer(String key) {
        return bridge.feedback((handle, memory, error, check) -> {
            LongPointer value = new LongPointer(memory.allocate(Long.BYTES));
            Status status = check.apply(Deisa.deisa_get_int64(handle, key(key, memory), timestep, flags, value, error));
            return status == Status.OK ? Optional.of(value.get()) : Optional.empty();
        });
    }

    private BytePointer key(String key, NativeArena memory) {
        if (key == null || key.indexOf('\0') >= 0) {
            throw invalid("a feedback key is null or contains NUL");
        }
        return memory.string(key);
    }

    // Of memory of the native library, valid until its next call.
    private static byte[] copy(long address, long size) {
        if (size > Integer.MAX_VALUE - 8) {
            throw invalid("a feedback value has " + size + " bytes: expected less than 2 GiB");
        }
        byte[] bytes = new byte[(int) size];
        MemoryUtil.copyFromMemory(address, bytes, 0, bytes.length);
        return bytes;
    }

    private Object decode(String key, byte[] packed) {
        try {
            return PackedValues.decode(packed);
        } catch (IllegalArgumentException problem) {
            throw invalid("feedback value '" + key + "': " + problem.getMessage());
        }
    }

    private static DeisaException invalid(String message) {
        return DeisaException.of(new Failure(Status.ARGUMENT, -1, "", Failure.NO_TIMESTEP, message), null);
    }
}
