package io.deisa.bridge;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/**
 * One rank's chunk of an array, first dimension slowest (NumPy's C order). Values are checked when the bridge is opened, the
 * problems of all arrays together. A rank that has no cells of an array does not define it; the grid is that of the ranks which
 * do. A chunk's shape is the same at every timestep: if the number of elements changes, define the largest shape, and send the
 * number of valid elements in a separate array.
 *
 * @param name the array's name: UTF-8, 1 ... 255 bytes, not starting with {@code __deisa_}
 * @param dtype the elements' type
 * @param chunkShape elements of this rank's chunk per dimension
 * @param nbChunksPerDim the chunk grid; or null with {@code globalShape}
 * @param globalShape elements of the whole array per dimension; or null with {@code nbChunksPerDim}. Without a
 *     grid all chunks are equal, and chunkShape divides it
 * @param chunkPosition this chunk's place in the grid; or null with {@code start}
 * @param nbChunksOfNode chunks of this array on this node; empty: the bridges agree on it
 * @param haloBefore ghost cells before the chunk per dimension; null: none. With ghost cells, what is sent is the block of
 *     haloBefore + chunkShape + haloAfter elements, and the chunk inside of it is copied
 * @param haloAfter ghost cells after the chunk per dimension; null: none
 * @param order which dimension is fastest in the memory that is sent; whatever it is, index (i, j, ...) of the chunk is
 *     index [i, j, ...] in the analytics
 * @param start the chunk's first element in the whole array, which stands, with {@code globalShape}, for
 *     {@code chunkPosition} and {@code nbChunksPerDim}: the bridges derive the grid; or null
 * @param aggregate "none", "node" or "auto": whether the chunks of a node become one, the same on every rank; null: by the
 *     setting {@code aggregate}
 */
public record ArrayMetadata(
        String name,
        DType dtype,
        List<Long> chunkShape,
        List<Long> nbChunksPerDim,
        List<Long> globalShape,
        List<Long> chunkPosition,
        OptionalLong nbChunksOfNode,
        List<Long> haloBefore,
        List<Long> haloAfter,
        Order order,
        List<Long> start,
        String aggregate) {

    /** Copies the lists; null for the order is {@link Order#C}. */
    public ArrayMetadata {
        chunkShape = copy(chunkShape);
        nbChunksPerDim = copy(nbChunksPerDim);
        globalShape = copy(globalShape);
        chunkPosition = copy(chunkPosition);
        haloBefore = copy(haloBefore);
        haloAfter = copy(haloAfter);
        order = order == null ? Order.C : order;
        start = copy(start);
    }

    /** Memory without ghost cells, last dimension fastest. */
    public ArrayMetadata(
            String name,
            DType dtype,
            List<Long> chunkShape,
            List<Long> nbChunksPerDim,
            List<Long> globalShape,
            List<Long> chunkPosition,
            OptionalLong nbChunksOfNode) {
        this(
                name,
                dtype,
                chunkShape,
                nbChunksPerDim,
                globalShape,
                chunkPosition,
                nbChunksOfNode,
                null,
                null,
                null,
                null,
                null);
    }

    /** With the chunk grid given. */
    public static ArrayMetadata of(
            String name, DType dtype, long[] chunkShape, long[] nbChunksPerDim, long[] chunkPosition) {
        return placed(name, dtype, chunkShape, nbChunksPerDim, null, chunkPosition, null);
    }

    /** With the global shape given; equal chunks must fill it. */
    public static ArrayMetadata ofGlobalShape(
            String name, DType dtype, long[] chunkShape, long[] globalShape, long[] chunkPosition) {
        return placed(name, dtype, chunkShape, null, globalShape, chunkPosition, null);
    }

    /** With the chunk's first element in the whole array, of the global shape; the bridges derive the grid of chunks. */
    public static ArrayMetadata ofStart(String name, DType dtype, long[] chunkShape, long[] globalShape, long[] start) {
        return placed(name, dtype, chunkShape, null, globalShape, null, start);
    }

    private static ArrayMetadata placed(
            String name, DType dtype, long[] chunk, long[] grid, long[] global, long[] position, long[] start) {
        OptionalLong any = OptionalLong.empty();
        List<Long> first = list(start);
        return new ArrayMetadata(
                name, dtype, list(chunk), list(grid), list(global), list(position), any, null, null, null, first, null);
    }

    /** The same with this number of chunks on the node. */
    public ArrayMetadata withNbChunksOfNode(long value) {
        return with(OptionalLong.of(value), haloBefore, haloAfter, order, aggregate);
    }

    /** The same with so many ghost cells before and after the chunk in each dimension. */
    public ArrayMetadata withHalo(long[] before, long[] after) {
        return with(nbChunksOfNode, list(before), list(after), order, aggregate);
    }

    /** The same in memory of this order. */
    public ArrayMetadata withOrder(Order value) {
        return with(nbChunksOfNode, haloBefore, haloAfter, value, aggregate);
    }

    /** The same with "none", "node" or "auto": whether the chunks of a node become one. */
    public ArrayMetadata withAggregate(String value) {
        return with(nbChunksOfNode, haloBefore, haloAfter, order, value);
    }

    private ArrayMetadata with(OptionalLong ofNode, List<Long> before, List<Long> after, Order in, String as) {
        List<Long> grid = nbChunksPerDim;
        return new ArrayMetadata(
                name, dtype, chunkShape, grid, globalShape, chunkPosition, ofNode, before, after, in, start, as);
    }

    /** The keys of {@code arrays_metadata}, without those that are null or empty. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("chunk_shape", chunkShape);
        map.put("nb_chunks_per_dim", nbChunksPerDim);
        map.put("global_shape", globalShape);
        map.put("chunk_position", chunkPosition);
        map.put("dtype", dtype == null ? null : dtype.numpyName());
        map.put("nb_chunks_of_node", nbChunksOfNode.isPresent() ? nbChunksOfNode.getAsLong() : null);
        map.put("halo_before", haloBefore);
        map.put("halo_after", haloAfter);
        map.put("start", start);
        map.put("aggregate", aggregate);
        map.put("order", order == Order.FORTRAN ? "F" : null);
        map.values().removeIf(value -> value == null);
        return map;
    }

    private static List<Long> copy(List<Long> values) {
        return values == null ? null : List.copyOf(values);
    }

    private static List<Long> list(long[] values) {
        return values == null ? null : Arrays.stream(values).boxed().toList();
    }
}
