package io.deisa.bridge;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/** Against the node actor of native/bridge/testing/fake_library.cc, which the tests tagged "fake" run with (see pom.xml). */
final class Fake {
    /** The timestep whose chunks the node actor refuses. */
    static final long REFUSED = -666;

    /** The timestep whose chunks it never stores. */
    static final long HELD = -777;

    private Fake() {}

    /** Failures are thrown. */
    static BridgeBuilder raising() {
        return Bridge.builder().sendTimeout(Duration.ofSeconds(20)).errorMode(ErrorMode.RETURN);
    }

    /** A chunk that is the whole array. The contents of one whose name begins with "written" can be read. */
    static ArrayMetadata array(String name, DType dtype, long... shape) {
        long[] grid = new long[shape.length];
        java.util.Arrays.fill(grid, 1);
        return ArrayMetadata.of(name, dtype, shape, grid, new long[shape.length]);
    }

    static Bridge open(BridgeBuilder builder, ArrayMetadata... arrays) {
        for (ArrayMetadata array : arrays) {
            builder.array(array);
        }
        return builder.open();
    }

    /** The bytes that the node actor read; flush the bridge before. */
    static ByteBuffer written(String name, long timestep) throws IOException {
        Path file = Path.of(System.getenv("DEISA_FAKE_OUTPUT"), name + "-" + timestep);
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.nativeOrder());
        Files.delete(file);
        return bytes;
    }

    static ByteBuffer doubles(double... values) {
        ByteBuffer bytes =
                ByteBuffer.allocateDirect(values.length * Double.BYTES).order(ByteOrder.nativeOrder());
        bytes.asDoubleBuffer().put(values);
        return bytes;
    }
}
