package io.deisa.bridge;

/** Which dimension of a contiguous block is fastest in memory, as in {@code deisa_order}. */
public enum Order {
    /** The last one. */
    C,
    /** The first one. */
    FORTRAN
}
