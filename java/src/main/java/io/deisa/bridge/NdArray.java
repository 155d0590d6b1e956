package io.deisa.bridge;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * A NumPy array that the analytics set as feedback.
 *
 * @param dtype the elements' type
 * @param shape elements per dimension, first dimension slowest; empty for a scalar
 * @param data the elements in native byte order, from position 0 to the limit; read-only
 */
public record NdArray(DType dtype, List<Long> shape, ByteBuffer data) {
    /** Views the data. */
    public NdArray {
        shape = List.copyOf(shape);
        data = data.asReadOnlyBuffer().order(ByteOrder.nativeOrder());
    }
}
