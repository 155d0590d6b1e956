package io.deisa.bridge;

import java.util.Locale;
import java.util.Optional;

/** The type of an array's elements, as in {@code deisa_dtype}. */
public enum DType {
    /** One byte, 0 or 1. */
    BOOL(1, 1),
    INT8(2, 1),
    INT16(3, 2),
    INT32(4, 4),
    INT64(5, 8),
    UINT8(6, 1),
    UINT16(7, 2),
    UINT32(8, 4),
    UINT64(9, 8),
    FLOAT16(10, 2),
    FLOAT32(11, 4),
    FLOAT64(12, 8),
    /** Two float32: real, imaginary. */
    COMPLEX64(13, 8),
    /** Two float64: real, imaginary. */
    COMPLEX128(14, 16);

    private final int code;
    private final int size;

    DType(int code, int size) {
        this.code = code;
        this.size = size;
    }

    /** The value of {@code deisa_dtype}. */
    public int code() {
        return code;
    }

    /** Bytes of one element. */
    public int size() {
        return size;
    }

    /** NumPy's name, such as {@code "float64"}. */
    public String numpyName() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The type with this value of {@code deisa_dtype}. */
    public static DType ofCode(int code) {
        return values()[code - 1];
    }

    /** The type with this NumPy name. */
    public static Optional<DType> ofNumpyName(String name) {
        for (DType dtype : values()) {
            if (dtype.numpyName().equals(name)) {
                return Optional.of(dtype);
            }
        }
        return Optional.empty();
    }
}
