package io.deisa.bridge.internal;

import io.deisa.bridge.DType;
import io.deisa.bridge.NdArray;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.util.MemoryUtil;
import org.bytedeco.javacpp.Loader;

/** A {@code deisa_value} as Java objects; which, is said at {@link io.deisa.bridge.Feedback#get}. */
public final class Values {
    private static final long SIZEOF = Loader.sizeof(Native.deisa_value.class);
    private static final long KIND = offset("kind");
    private static final long DTYPE = offset("dtype");
    private static final long NDIM = offset("ndim");
    private static final long INTEGER = offset("integer");
    private static final long UNSIGNED = offset("unsigned_integer");
    private static final long NUMBER = offset("number");
    private static final long SIZE = offset("size");
    private static final long DATA = offset("data");
    private static final long SHAPE = offset("shape");
    private static final long KEYS = offset("keys");
    private static final long ITEMS = offset("items");

    private Values() {}

    private static long offset(String member) {
        return Loader.offsetof(Native.deisa_value.class, member);
    }

    /** Copies the value at this address, which the native library has made. IllegalArgumentException when it is too large. */
    public static Object read(long value) {
        switch (MemoryUtil.getInt(value + KIND)) {
            case Native.DEISA_VALUE_NULL:
                return null;
            case Native.DEISA_VALUE_BOOL:
                return MemoryUtil.getLong(value + INTEGER) != 0;
            case Native.DEISA_VALUE_INTEGER:
                return MemoryUtil.getLong(value + INTEGER);
            case Native.DEISA_VALUE_UNSIGNED:
                return new BigInteger(Long.toUnsignedString(MemoryUtil.getLong(value + UNSIGNED)));
            case Native.DEISA_VALUE_NUMBER:
                return Double.longBitsToDouble(MemoryUtil.getLong(value + NUMBER));
            case Native.DEISA_VALUE_STRING:
                return new String(bytes(value), StandardCharsets.UTF_8);
            case Native.DEISA_VALUE_BYTES:
                return bytes(value);
            case Native.DEISA_VALUE_LIST:
                List<Object> list = new ArrayList<>();
                for (int i = 0; i < size(value); i++) {
                    list.add(read(item(value, i)));
                }
                return list;
            case Native.DEISA_VALUE_MAP:
                Map<String, Object> map = new LinkedHashMap<>();
                for (int i = 0; i < size(value); i++) {
                    map.put(
                            text(MemoryUtil.getLong(MemoryUtil.getLong(value + KEYS) + (long) i * Long.BYTES)),
                            read(item(value, i)));
                }
                return map;
            case Native.DEISA_VALUE_ARRAY:
                return array(value);
            default:
                throw new IllegalStateException("a value of an unknown kind: do the versions match?");
        }
    }

    private static long item(long value, int index) {
        return MemoryUtil.getLong(value + ITEMS) + index * SIZEOF;
    }

    private static int size(long value) {
        long size = MemoryUtil.getLong(value + SIZE);
        if (size > Integer.MAX_VALUE - 8) {
            throw new IllegalArgumentException("it has " + size + " bytes or elements: expected less than 2 GiB");
        }
        return (int) size;
    }

    private static byte[] bytes(long value) {
        byte[] bytes = new byte[size(value)];
        MemoryUtil.copyFromMemory(MemoryUtil.getLong(value + DATA), bytes, 0, bytes.length);
        return bytes;
    }

    /** The NUL-terminated UTF-8 at this address. */
    public static String text(long address) {
        int length = 0;
        while (MemoryUtil.getByte(address + length) != 0) {
            length++;
        }
        byte[] utf8 = new byte[length];
        MemoryUtil.copyFromMemory(address, utf8, 0, length);
        return new String(utf8, StandardCharsets.UTF_8);
    }

    private static NdArray array(long value) {
        List<Long> shape = new ArrayList<>();
        for (int d = 0; d < MemoryUtil.getInt(value + NDIM); d++) {
            shape.add(MemoryUtil.getLong(MemoryUtil.getLong(value + SHAPE) + (long) d * Long.BYTES));
        }
        return new NdArray(DType.ofCode(MemoryUtil.getInt(value + DTYPE)), shape, ByteBuffer.wrap(bytes(value)));
    }
}
