package io.deisa.bridge;

/** When a send returns, as in {@code deisa_acknowledge}. */
public enum Acknowledge {
    /** The node actor holds the bytes: they outlive this process. */
    RECEIVED,
    /** They are an object in Ray's object store. */
    STORED,
    /** The head actor knows them. */
    ANNOUNCED
}
