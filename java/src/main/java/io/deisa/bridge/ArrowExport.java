package io.deisa.bridge;

import io.deisa.bridge.internal.Errors;
import io.deisa.bridge.internal.Native;
import io.deisa.bridge.internal.NativeArena;
import io.deisa.bridge.internal.VectorExport;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.util.MemoryUtil;
import org.apache.arrow.vector.FieldVector;
import org.bytedeco.javacpp.Loader;

/** Shows chunk memory to Arrow as one fixed-shape tensor, without a copy. */
public final class ArrowExport {
    private ArrowExport() {}

    /**
     * A vector with one element, the chunk, over the memory of {@code data} from its reader index. The vector is the caller's
     * to close; {@code data} stays the caller's too, and must not be freed before the vector is closed.
     *
     * @param allocator accounts for the vector; no chunk memory is taken from it
     * @throws InvalidArgumentException when the metadata are invalid, or {@code data} is smaller than a chunk
     * @throws DeisaException with {@link Status#UNSUPPORTED}, when they say that the chunk is not contiguous in C order
     */
    public static FieldVector tensor(BufferAllocator allocator, ArrayMetadata metadata, ArrowBuf data) {
        try {
            return tensor(allocator, metadata, data.memoryAddress() + data.readerIndex(), data.readableBytes());
        } finally {
            Reference.reachabilityFence(data);
        }
    }

    /** As above, over a direct buffer in native byte order, from its position. It must be kept reachable as well. */
    public static FieldVector tensor(BufferAllocator allocator, ArrayMetadata metadata, ByteBuffer data) {
        if (!data.isDirect() || data.order() != ByteOrder.nativeOrder()) {
            throw invalid(metadata, "expected a direct ByteBuffer in native byte order");
        }
        try {
            return tensor(
                    allocator, metadata, MemoryUtil.getByteBufferAddress(data) + data.position(), data.remaining());
        } finally {
            Reference.reachabilityFence(data);
        }
    }

    private static FieldVector tensor(BufferAllocator allocator, ArrayMetadata metadata, long address, long bytes) {
        if (metadata.dtype() == null || metadata.chunkShape() == null) {
            throw invalid(metadata, "expected a dtype and a chunk shape");
        }
        try (NativeArena memory = new NativeArena()) {
            Native.deisa_error error = Errors.allocate(memory);
            VectorExport structs = new VectorExport(memory);
            long size = Loader.sizeof(Native.deisa_layout.class);
            Native.deisa_layout layout = new Native.deisa_layout(memory.allocate(size))
                    .struct_size(size)
                    .dtype(metadata.dtype().code())
                    .ndim(metadata.chunkShape().size())
                    .chunk_shape(memory.longs(metadata.chunkShape()))
                    .nb_chunks_of_node(-1)
                    .halo_before(memory.longs(metadata.haloBefore()))
                    .halo_after(memory.longs(metadata.haloAfter()))
                    .order(metadata.order().ordinal());
            int status = Native.deisa_export_memory(address, layout, structs.array(), structs.schema(), error);
            if (status < 0) {
                throw DeisaException.of(Errors.read(error, status), null);
            }
            try {
                long expected = metadata.dtype().size();
                for (long extent : metadata.chunkShape()) {
                    expected *= extent; // the layout was accepted: no overflow
                }
                if (bytes < expected) {
                    throw invalid(metadata, bytes + " bytes were given: a chunk has " + expected + " bytes");
                }
                return structs.take(allocator);
            } finally {
                structs.release();
            }
        }
    }

    private static InvalidArgumentException invalid(ArrayMetadata metadata, String problem) {
        String message = "array '" + metadata.name() + "': " + problem;
        return new InvalidArgumentException(
                new Failure(Status.ARGUMENT, -1, String.valueOf(metadata.name()), Failure.NO_TIMESTEP, message), null);
    }
}
