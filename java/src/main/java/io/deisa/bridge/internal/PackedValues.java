package io.deisa.bridge.internal;

import io.deisa.bridge.DType;
import io.deisa.bridge.NdArray;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.msgpack.core.ExtensionTypeHeader;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessagePackException;
import org.msgpack.core.MessageUnpacker;

/** MessagePack of feedback values to Java objects; which, is said at {@link io.deisa.bridge.Feedback#get}. */
public final class PackedValues {
    private static final byte NUMPY_ARRAY = 1;
    private static final int MAX_DEPTH = 100; // lists in lists; the bytes come from another program

    private PackedValues() {}

    /** The value. Throws IllegalArgumentException when the bytes are no such value. */
    public static Object decode(byte[] packed) {
        try (MessageUnpacker unpacker = MessagePack.newDefaultUnpacker(packed)) {
            Object value = value(unpacker, packed.length, 0);
            if (unpacker.hasNext()) {
                throw new IllegalArgumentException("bytes after the value");
            }
            return value;
        } catch (IOException | MessagePackException | ClassCastException | IndexOutOfBoundsException problem) {
            throw new IllegalArgumentException("malformed MessagePack: " + problem, problem);
        }
    }

    private static Object value(MessageUnpacker in, int limit, int depth) throws IOException {
        if (depth > MAX_DEPTH) {
            throw new IllegalArgumentException("more than " + MAX_DEPTH + " lists or maps in each other");
        }
        switch (in.getNextFormat().getValueType()) {
            case NIL:
                in.unpackNil();
                return null;
            case BOOLEAN:
                return in.unpackBoolean();
            case INTEGER:
                BigInteger integer = in.unpackBigInteger();
                return integer.bitLength() < Long.SIZE ? (Object) integer.longValue() : integer;
            case FLOAT:
                return in.unpackDouble();
            case STRING:
                return in.unpackString();
            case BINARY:
                return payload(in, in.unpackBinaryHeader(), limit);
            case ARRAY:
                List<Object> list = new ArrayList<>();
                for (int left = in.unpackArrayHeader(); left > 0; left--) {
                    list.add(value(in, limit, depth + 1));
                }
                return list;
            case MAP:
                Map<String, Object> map = new LinkedHashMap<>();
                for (int left = in.unpackMapHeader(); left > 0; left--) {
                    String key = in.unpackString();
                    map.put(key, value(in, limit, depth + 1));
                }
                return map;
            default:
                return extension(in, limit, depth);
        }
    }

    // A length is checked against all the bytes there are, before memory is taken for it.
    private static byte[] payload(MessageUnpacker in, int length, int limit) throws IOException {
        if (length > limit) {
            throw new IllegalArgumentException(length + " bytes announced, " + limit + " there");
        }
        return in.readPayload(length);
    }

    private static Object extension(MessageUnpacker in, int limit, int depth) throws IOException {
        ExtensionTypeHeader header = in.unpackExtensionTypeHeader();
        if (header.getType() != NUMPY_ARRAY) {
            throw new IllegalArgumentException("unknown extension type " + header.getType());
        }
        byte[] payload = payload(in, header.getLength(), limit);
        try (MessageUnpacker inner = MessagePack.newDefaultUnpacker(payload)) {
            List<?> parts = (List<?>) value(inner, payload.length, depth + 1);
            String name = (String) parts.get(0);
            DType dtype =
                    DType.ofNumpyName(name).orElseThrow(() -> new IllegalArgumentException("unknown dtype " + name));
            List<Long> shape = new ArrayList<>();
            for (Object extent : (List<?>) parts.get(1)) {
                if ((Long) extent < 0) {
                    throw new IllegalArgumentException("a NumPy array has a negative extent");
                }
                shape.add((Long) extent);
            }
            byte[] data = (byte[]) parts.get(2);
            long expected = dtype.size();
            for (long extent : shape) {
                expected = Math.multiplyExact(expected, extent);
            }
            if (expected != data.length) {
                throw new IllegalArgumentException("a NumPy array of " + name + " " + shape + " has " + data.length
                        + " bytes: expected " + expected);
            }
            return new NdArray(dtype, shape, ByteBuffer.wrap(data));
        } catch (ArithmeticException overflow) {
            throw new IllegalArgumentException("a NumPy array is too large", overflow);
        }
    }
}
