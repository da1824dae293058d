// Package container keeps the records of containers: one directory and one
// JSON file each, one status with one transition table, the name index and the
// id ranges.
//
// Level: L2.
// Owns: containers/<id>/container.json, names, ids, id-range slots, the status of a container.
// May import: internal/atomicfile.
// Must not know: how a container is started; images; the HTTP API's handlers.
//
// # On disk
//
//	containers/<id>/             0700; without container.json it is a leftover
//	containers/<id>/container.json
//
// A new container's directory is made and filled first and its record is
// written last, so a directory without a record is an unfinished create. A
// removal first stores the status "removing" and deletes the record before the
// directory itself. Records of containers that are removed when they end
// (HostConfig.AutoRemove) are written without waiting for the disk: after a
// power cut nothing of them is wanted. An empty record is therefore a leftover
// too.
//
// # Locks
//
// In this order; whoever holds a later one must not take an earlier one:
//
//  1. a container's verb lock ([Container.Lock]): one verb at a time, held
//     across the work, waiting honours the context;
//  2. Container.write: the order of writes of one record to the disk;
//  3. Store.mu: the indexes;
//  4. Container.mu: the record in memory; never held across I/O.
package container
