package io.deisa.bridge;

import io.deisa.bridge.internal.Native;
import io.deisa.bridge.internal.NativeArena;
import io.deisa.bridge.internal.Values;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;

/**
 * The values that the analytics set. Without a value, the fallback is returned. Numbers and booleans convert when they fit
 * exactly. A plain read is at most {@link BridgeBuilder#feedbackInterval} old, and costs no message: {@code
 * bridge.feedback().getDouble("gain", 1.0)} may stand in a loop. {@code
 * bridge.feedback().at(t).waiting(Duration.ofSeconds(60)).collective()} reads what can be repeated: the value of exactly that
 * timestep, on every rank in the same call.
 *
 * <p>A failure to read goes to the error handler, and the fallback is returned; or it is thrown, with {@link
 * ErrorMode#RETURN}. A value of another type than asked for is an {@link InvalidArgumentException}. Thread-safe, immutable;
 * ends with its bridge.
 */
public final class Feedback {
    /** A kept value. */
    public record Kept(long timestep, Object value) {}

    private final Bridge bridge;
    private final long timestep;
    private final Duration wait;
    private final boolean isCollective;

    Feedback(Bridge bridge, long timestep, Duration wait, boolean isCollective) {
        this.bridge = bridge;
        this.timestep = timestep;
        this.wait = wait;
        this.isCollective = isCollective;
    }

    /** Reads values that were set for this timestep, in place of the newest ones. */
    public Feedback at(long timestep) {
        return new Feedback(bridge, timestep, wait, isCollective);
    }

    /** Waits until there is such a value; then reading fails with a {@link DeisaTimeoutException}. */
    public Feedback waiting(Duration timeout) {
        return new Feedback(bridge, timestep, timeout, isCollective);
    }

    /** Reads collectively: every rank calls, rank 0 reads, and all get the same answer. */
    public Feedback collective() {
        return new Feedback(bridge, timestep, wait, true);
    }

    /** A number. */
    public double getDouble(String key, double fallback) {
        return bridge.feedback((handle, memory, error, check) -> {
            DoublePointer value = new DoublePointer(memory.allocate(Double.BYTES));
            Status status =
                    check.apply(Native.deisa_get_double(handle, key(key, memory), options(memory), value, error));
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
        Object value = get(key, fallback);
        if (value == null || value instanceof String) {
            return (String) value;
        }
        throw invalid("feedback value '" + key + "' is not a string");
    }

    /**
     * Any value: null, Boolean, Long (BigInteger above Long's range), Double, String, byte[], List, Map with string keys, or
     * {@link NdArray}. A stored null is a value: {@code fallback} stands for no value.
     */
    public Object get(String key, Object fallback) {
        return get(key, fallback, false);
    }

    /**
     * As {@link #get(String, Object)}. {@code chunked} is reserved for values in chunks, which are not implemented.
     *
     * @throws DeisaException with {@link Status#UNSUPPORTED} if {@code chunked} is true
     */
    public Object get(String key, Object fallback, boolean chunked) {
        return read(key, fallback, chunked, false);
    }

    /** All kept values with their timesteps, oldest first; none if there is no value. */
    public List<Kept> getAll(String key) {
        List<Kept> kept = new ArrayList<>();
        for (Object pair : (List<?>) read(key, List.of(), false, true)) {
            List<?> both = (List<?>) pair;
            kept.add(new Kept((Long) both.get(0), both.get(1)));
        }
        return kept;
    }

    /** Hides the value from the bridges of this node until the analytics set a newer one; a missing key is no error. */
    public Status delete(String key) {
        return bridge.feedback(
                (handle, memory, error, check) -> check.apply(Native.deisa_delete(handle, key(key, memory), error)));
    }

    private Object read(String key, Object fallback, boolean chunked, boolean all) {
        return bridge.feedback((handle, memory, error, check) -> {
            LongPointer value = new LongPointer(memory.allocate(Long.BYTES));
            Native.deisa_get_options options =
                    options(memory).chunked(chunked ? 1 : 0).all(all ? 1 : 0);
            Status status = check.apply(Native.deisa_get(handle, key(key, memory), options, value.address(), error));
            try {
                return status == Status.OK ? Values.read(value.get()) : fallback;
            } catch (IllegalArgumentException problem) {
                throw invalid("feedback value '" + key + "': " + problem.getMessage());
            }
        });
    }

    private Optional<Long> integer(String key) {
        return bridge.feedback((handle, memory, error, check) -> {
            LongPointer value = new LongPointer(memory.allocate(Long.BYTES));
            Status status =
                    check.apply(Native.deisa_get_int64(handle, key(key, memory), options(memory), value, error));
            return status == Status.OK ? Optional.of(value.get()) : Optional.empty();
        });
    }

    private Native.deisa_get_options options(NativeArena memory) {
        long size = Loader.sizeof(Native.deisa_get_options.class);
        return new Native.deisa_get_options(memory.allocate(size))
                .struct_size(size)
                .timestep(timestep)
                ._wait(BridgeBuilder.seconds(wait))
                .collective(isCollective ? 1 : 0);
    }

    private long key(String key, NativeArena memory) {
        if (key == null || key.indexOf('\0') >= 0) {
            throw invalid("a feedback key is null or contains NUL");
        }
        return memory.string(key);
    }

    private static DeisaException invalid(String message) {
        return DeisaException.of(new Failure(Status.ARGUMENT, -1, "", Failure.NO_TIMESTEP, message), null);
    }
}
