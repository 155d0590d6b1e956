/**
 * Connects a running Java simulation to deisa-ray analytics: {@link io.deisa.bridge.Bridge} over the C ABI of {@code
 * libdeisa.so}.
 */
package io.deisa.bridge;
