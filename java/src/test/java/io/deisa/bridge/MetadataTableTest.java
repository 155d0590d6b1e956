package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.deisa.bridge.internal.Errors;
import io.deisa.bridge.internal.Native;
import io.deisa.bridge.internal.NativeArena;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.bytedeco.javacpp.LongPointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The table of accepted and refused metadata that the native tests read too: the same verdicts, in the same words. */
class MetadataTableTest {
    private static final Path TABLE = Path.of("..", "native", "chunk", "testdata", "metadata_cases.json");
    private static final ObjectMapper JSON = new ObjectMapper();

    private static List<JsonNode> table() throws IOException {
        return StreamSupport.stream(JSON.readTree(TABLE.toFile()).spliterator(), false)
                .toList();
    }

    static Stream<Arguments> cases() throws IOException {
        return table().stream().map(one -> Arguments.of(one.get("case").asText(), one));
    }

    /** The cases that a map of maps can express, which is what the facade takes. */
    static Stream<Arguments> casesOfMaps() throws IOException {
        return cases().filter(one -> isMapOfMaps(((JsonNode) one.get()[1]).get("arrays")));
    }

    private static boolean isMapOfMaps(JsonNode arrays) {
        return arrays.isObject()
                && StreamSupport.stream(arrays.spliterator(), false).allMatch(JsonNode::isObject);
    }

    @Test
    void theTableIsWhole() throws IOException {
        assertTrue(table().size() > 100);
        assertTrue(casesOfMaps().count() > table().size() - 10);
    }

    private static void check(JsonNode one, int status, String message) {
        assertEquals(one.get("accepted").asBoolean(), status == Status.OK.code(), () -> "verdict: " + message);
        if (one.get("accepted").asBoolean()) {
            return;
        }
        assertEquals(Status.ARGUMENT.code(), status);
        for (JsonNode text : one.get("expect")) {
            assertTrue(message.contains(text.asText()), () -> "expected '" + text.asText() + "' in: " + message);
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void nativeLibrary(String name, JsonNode one) throws IOException {
        try (NativeArena arena = new NativeArena()) {
            LongPointer handle = new LongPointer(arena.allocate(Long.BYTES));
            Native.deisa_error error = Errors.allocate(arena);
            assertEquals(0, Native.deisa_open(null, handle.address(), error));
            int status = Native.deisa_define_json(
                    handle.get(), arena.string(JSON.writeValueAsString(one.get("arrays"))), error);
            Native.deisa_abandon(handle.address());
            check(
                    one,
                    status,
                    status == 0 ? "accepted" : Errors.read(error, status).message());
        }
    }

    /** Its world of one fails at the first meeting, which is what a bridge does after it has accepted its arrays. */
    private static final class Nowhere implements Communicator {
        boolean reached;

        @Override
        public int rank() {
            return 0;
        }

        @Override
        public int size() {
            return 1;
        }

        @Override
        public void barrier(Duration timeout) {
            throw new IllegalStateException("nowhere");
        }

        @Override
        public void gather(ByteBuffer sent, ByteBuffer received, int root, Duration timeout) {
            reached = true;
            throw new IllegalStateException("nowhere");
        }

        @Override
        public void broadcast(ByteBuffer data, int root, Duration timeout) {
            throw new IllegalStateException("nowhere");
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("casesOfMaps")
    void facade(String name, JsonNode one) {
        Map<String, Map<String, Object>> arrays = maps(one.get("arrays"));
        Nowhere communicator = new Nowhere();
        BridgeBuilder builder = Bridge.builder().arrays(arrays).communicator(communicator);
        DeisaException thrown = assertThrows(DeisaException.class, builder::open);
        boolean accepted = thrown.status() == Status.COMMUNICATOR;
        assertEquals(accepted, communicator.reached, "refused before anybody is contacted");
        check(one, accepted ? Status.OK.code() : thrown.status().code(), thrown.getMessage());
        assertEquals(maps(one.get("arrays")), arrays, "the caller's objects are never changed");
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Map<String, Object>> maps(JsonNode arrays) {
        return JSON.convertValue(arrays, Map.class);
    }

    @Test
    void optionsAndArraysAreReportedTogether() {
        BridgeBuilder builder = Bridge.builder()
                .masterPort(0)
                .masterAddress("a\0b")
                .arrays(Map.of("bad", Map.of("chunk_shape", List.of(0))))
                .array(ArrayMetadata.of("twice", DType.INT8, new long[] {1}, new long[] {1}, new long[] {0}))
                .array(ArrayMetadata.of("twice", DType.INT8, new long[] {1}, new long[] {1}, new long[] {0}))
                .array(ArrayMetadata.of("half\ud800", DType.INT8, new long[] {1}, new long[] {1}, new long[] {0}));
        InvalidArgumentException thrown = assertThrows(InvalidArgumentException.class, builder::open);
        List<String> missing = new ArrayList<>();
        for (String part : List.of(
                "master_port = 0: expected 1 ... 65535",
                "master_address contains NUL",
                "array 'bad': chunk_shape = [0]: expected a list of positive integers",
                "array 'bad': dtype is missing",
                "'twice' is given twice",
                "cannot be written as UTF-8")) {
            if (!thrown.getMessage().contains(part)) {
                missing.add(part);
            }
        }
        assertEquals(List.of(), missing, thrown.getMessage());
    }
}
