package io.deisa.bridge.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.deisa.bridge.DType;
import io.deisa.bridge.NdArray;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.util.MemoryUtil;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;

/** Values as the native library would have made them. What it makes of MessagePack: native/capi/feedback_test.cc. */
class ValuesTest {
    static {
        Loader.load(Native.class); // it knows the sizes
    }

    private static final long SIZEOF = Loader.sizeof(Native.deisa_value.class);

    private final NativeArena arena = new NativeArena();

    private static void set(long value, String member, long bits) {
        long at = value + Loader.offsetof(Native.deisa_value.class, member);
        if (member.equals("kind") || member.equals("dtype") || member.equals("ndim")) {
            MemoryUtil.putInt(at, (int) bits);
        } else {
            MemoryUtil.putLong(at, bits);
        }
    }

    private long value(int kind) {
        long value = arena.allocate(SIZEOF).address();
        set(value, "kind", kind);
        return value;
    }

    private long value(int kind, String member, long bits) {
        long value = value(kind);
        set(value, member, bits);
        return value;
    }

    private long bytes(int kind, byte... bytes) {
        Pointer memory = arena.allocate(bytes.length);
        for (int i = 0; i < bytes.length; i++) {
            MemoryUtil.putByte(memory.address() + i, bytes[i]);
        }
        long value = value(kind, "data", memory.address());
        set(value, "size", bytes.length);
        return value;
    }

    private long longs(long... values) {
        return arena.longs(Arrays.stream(values).boxed().toList()).address();
    }

    private long list(int kind, long... items) {
        long memory = arena.allocate(SIZEOF * items.length).address();
        for (int i = 0; i < items.length; i++) {
            MemoryUtil.copyMemory(items[i], memory + i * SIZEOF, SIZEOF);
        }
        long value = value(kind, "items", memory);
        set(value, "size", items.length);
        return value;
    }

    @Test
    void readsScalars() {
        assertNull(Values.read(value(0)));
        assertEquals(true, Values.read(value(1, "integer", 1)));
        assertEquals(false, Values.read(value(1)));
        assertEquals(Long.MIN_VALUE, Values.read(value(2, "integer", Long.MIN_VALUE)));
        assertEquals(BigInteger.ONE.shiftLeft(63), Values.read(value(3, "unsigned_integer", Long.MIN_VALUE)));
        assertEquals(1.5, Values.read(value(4, "number", Double.doubleToRawLongBits(1.5))));
        assertEquals("\u00e9", Values.read(bytes(5, "\u00e9".getBytes(StandardCharsets.UTF_8))));
        assertArrayEquals(new byte[] {1, 2}, (byte[]) Values.read(bytes(6, (byte) 1, (byte) 2)));
        arena.close();
    }

    @Test
    void readsContainers() {
        long map = list(8, list(7, value(2, "integer", 1), list(7)), bytes(5));
        set(map, "keys", longs(arena.string("a"), arena.string("\u00e9")));
        assertEquals(Map.of("a", List.of(1L, List.of()), "\u00e9", ""), Values.read(map));
        arena.close();
    }

    @Test
    void readsNumpyArrays() {
        long value = bytes(9, (byte) 1, (byte) 0, (byte) 2, (byte) 0);
        set(value, "dtype", DType.UINT16.code());
        set(value, "ndim", 2);
        set(value, "shape", longs(2, 1));
        NdArray array = (NdArray) Values.read(value);
        assertEquals(DType.UINT16, array.dtype());
        assertEquals(List.of(2L, 1L), array.shape());
        assertEquals(2, array.data().getShort(2));
        arena.close();
    }

    @Test
    void refusesWhatDoesNotFit() {
        long value = value(6, "size", 1L << 31);
        assertThrows(IllegalArgumentException.class, () -> Values.read(value));
        arena.close();
    }
}
