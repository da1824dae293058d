package container

import (
	"fmt"

	"github.com/containerd/errdefs"
)

const (
	// RangeSize is the number of host ids a container gets.
	RangeSize = 65536
	// NoSlot is the slot of a container that uses the host's ids.
	NoSlot = -1
	// firstRange and lastID bound systemd's range for containers
	// (systemd.io/UIDS-GIDS), so that no user or service has those ids.
	firstRange = 524288
	lastID     = 1879048191
	slots      = (lastID + 1 - firstRange) / RangeSize
)

// HostID is the first host id of the slot's range.
func HostID(slot int) uint32 { return uint32(firstRange + slot*RangeSize) }

// SlotOf is the slot whose range begins with a host id, NoSlot if there is none.
func SlotOf(id uint32) int {
	slot := (int(id) - firstRange) / RangeSize
	if int(id) < firstRange || slot >= slots || HostID(slot) != id {
		return NoSlot
	}
	return slot
}

// Borrow keeps a slot from being given to a new container, also when its own is
// removed, until Return: another container runs in it. Whoever has it must be there
// after that still, else the slot may have been given away before.
func (s *Store) Borrow(slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent[slot]++
}

// Return undoes one Borrow.
func (s *Store) Return(slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lent[slot]--; s.lent[slot] <= 0 {
		delete(s.lent, slot)
	}
}

// leaseLocked returns the lowest slot that no record has. Leases are not
// stored: they are the records' slots.
func (s *Store) leaseLocked() (int, error) {
	for slot := range slots {
		if !s.leased[slot] && s.lent[slot] == 0 {
			s.leased[slot] = true
			return slot, nil
		}
	}
	return 0, fmt.Errorf("all %d id ranges are in use: remove containers with berth rm: %w", slots, errdefs.ErrResourceExhausted)
}
