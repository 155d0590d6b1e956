package io.deisa.bridge;

/** When a send returns, as in {@code deisa_acknowledge}. */
public enum Acknowledge {
    /** The node actor has received the chunk: it outlives this process. */
    RECEIVED,
    /** They are an object in Ray's object store. */
    STORED,
    /** The head actor knows them. */
    ANNOUNCED
}
