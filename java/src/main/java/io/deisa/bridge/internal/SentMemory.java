package io.deisa.bridge.internal;

import io.deisa.bridge.DType;
import java.lang.reflect.Array;
import java.util.List;
import java.util.Map;

/**
 * The memory that a send of one array reads, in bytes from the pointer that is sent: the native library cannot see how much
 * there is.
 *
 * @param chunkBytes bytes of the chunk itself
 * @param from the first byte that is read; below 0 when it lies before the pointer
 * @param to the byte after the last one
 * @param exact whether memory that goes on after {@code to} is a mistake: a block whose shape is known
 */
public record SentMemory(long chunkBytes, long from, long to, boolean exact) {
    /** From metadata that the native library accepted; null when they say none (it accepts all if disabled). */
    public static SentMemory of(Map<String, ?> metadata) {
        try {
            long size = DType.ofNumpyName((String) metadata.get("dtype"))
                    .orElseThrow()
                    .size();
            long[] shape = integers(metadata.get("chunk_shape"), 0);
            long[] strides = integers(metadata.get("strides"), 0);
            long offset = integer(metadata.get("offset"));
            long chunk = size;
            for (long extent : shape) {
                chunk = Math.multiplyExact(chunk, extent);
            }
            if (strides.length == 0) {
                return new SentMemory(chunk, offset, Math.addExact(offset, block(size, shape, metadata)), true);
            }
            long from = offset;
            long to = offset + size;
            for (int d = 0; d < shape.length; d++) {
                long last = Math.multiplyExact(shape[d] - 1, strides[d]);
                from = Math.addExact(from, Math.min(0, last));
                to = Math.addExact(to, Math.max(0, last));
            }
            return new SentMemory(chunk, from, to, false);
        } catch (RuntimeException notAccepted) {
            return null;
        }
    }

    /** What is wrong with memory of so many bytes, or null. */
    public String problem(long bytes) {
        if (from < 0) {
            return "its offset and strides reach " + -from
                    + " bytes before the memory that is sent: Java sends from the first byte on";
        }
        if (exact ? bytes == to : bytes >= to) {
            return null;
        }
        String what = exact && to == chunkBytes
                ? "a chunk has "
                : exact ? "a chunk with its ghost cells has " : "its strides reach ";
        String empty = bytes == 0
                ? " (an ArrowBuf is sent from its readerIndex to its writerIndex, which is 0 until it is set; a ByteBuffer from its"
                        + " position to its limit)"
                : "";
        return bytes + " bytes were given: " + what + to + " bytes" + empty;
    }

    private static long block(long size, long[] shape, Map<String, ?> metadata) {
        long[] before = integers(metadata.get("halo_before"), shape.length);
        long[] after = integers(metadata.get("halo_after"), shape.length);
        long bytes = size;
        for (int d = 0; d < shape.length; d++) {
            bytes = Math.multiplyExact(bytes, before[d] + shape[d] + after[d]);
        }
        return bytes;
    }

    // A list or an array of integers; null: `length` zeros.
    private static long[] integers(Object values, int length) {
        if (values == null) {
            return new long[length];
        }
        Object array = values instanceof List<?> list ? list.toArray() : values;
        long[] result = new long[Array.getLength(array)];
        for (int i = 0; i < result.length; i++) {
            result[i] = integer(Array.get(array, i));
        }
        return result;
    }

    private static long integer(Object value) {
        return value == null ? 0 : ((Number) value).longValue();
    }
}
