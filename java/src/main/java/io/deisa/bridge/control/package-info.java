/**
 * The node leader's way to Ray, through Ray's public Java API: joins the cluster, runs the Python task that creates
 * the node actor, and calls its methods. Called by the native library (native/jvm), never by a simulation.
 */
package io.deisa.bridge.control;
