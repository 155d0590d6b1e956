package io.deisa.bridge.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.deisa.bridge.DType;
import io.deisa.bridge.NdArray;
import java.math.BigInteger;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PackedValuesTest {
    private static Object decode(String hex) {
        return PackedValues.decode(HexFormat.of().parseHex(hex));
    }

    @Test
    void decodesScalars() {
        assertNull(decode("c0"));
        assertEquals(true, decode("c3"));
        assertEquals(-1L, decode("ff"));
        assertEquals(Long.MIN_VALUE, decode("d38000000000000000"));
        assertEquals(BigInteger.ONE.shiftLeft(63), decode("cf8000000000000000"));
        assertEquals(1.5, decode("cb3ff8000000000000"));
        assertEquals(1.5, decode("ca3fc00000"));
        assertEquals("\u00e9", decode("a2c3a9"));
        assertArrayEquals(new byte[] {1, 2}, (byte[]) decode("c4020102"));
    }

    @Test
    void decodesContainers() {
        assertEquals(Map.of("a", List.of(1L, List.of(), "b")), decode("81a1619301" + "90" + "a162"));
    }

    @Test
    void decodesNumpyArrays() {
        // [ "int16", [2], 4 bytes ]
        NdArray array = (NdArray) decode("c70f01" + "93" + "a5696e743136" + "9102" + "c40401000200");
        assertEquals(DType.INT16, array.dtype());
        assertEquals(List.of(2L), array.shape());
        assertEquals(2, array.data().getShort(2));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "", // nothing
                "0101", // something after the value
                "c1", // never used
                "92", // a list without its elements
                "8101c0", // a key that is no string
                "c6ffffffff00", // more bytes than there are
                "c67fffffff00",
                "c9ffffffff0100",
                "d40200", // an unknown extension
                "d40100", // an array that is an integer
                "c70e01" + "93" + "a5696e743136" + "9102" + "c403010002", // 3 bytes for two int16
                "c70f01" + "93" + "a5696e743137" + "9102" + "c40401000200", // int17
                "c70f01" + "93" + "a5696e743136" + "91fe" + "c40401000200", // -2 elements
            })
    void refusesAnythingElse(String hex) {
        assertThrows(IllegalArgumentException.class, () -> decode(hex));
    }

    @Test
    void refusesDeepNesting() {
        assertThrows(IllegalArgumentException.class, () -> decode("91".repeat(100_000) + "c0"));
    }
}
