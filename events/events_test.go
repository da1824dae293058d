package events

import (
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
)

func publish(b *Bus, n int) {
	for i := range n {
		b.Publish(events.Message{Type: events.ContainerEventType, Actor: events.Actor{ID: strconv.Itoa(i)}})
	}
}

func TestPastThenNextWithoutGap(t *testing.T) {
	b := New()
	begin := time.Now()
	publish(b, history+10)
	past, next, stop := b.Listen(begin)
	defer stop()
	if len(past) != history || past[0].Actor.ID != "10" || past[0].Scope != "local" {
		t.Errorf("%d past events, first %+v", len(past), past[0])
	}
	publish(b, 1)
	if m := <-next; m.Actor.ID != "0" {
		t.Errorf("next: %+v", m)
	}
	if past, _, stop := b.Listen(time.Time{}); len(past) != 0 {
		t.Errorf("%d past events without since", len(past))
	} else {
		stop()
	}
}

func TestSlowListenerIsDropped(t *testing.T) {
	b := New()
	_, slow, stop := b.Listen(time.Time{})
	publish(b, backlog+1)
	got := 0
	for range slow { // ends: the channel is closed
		got++
	}
	if got != backlog || b.Listeners() != 0 {
		t.Errorf("got %d events, %d listeners left", got, b.Listeners())
	}
	stop() // after the drop: harmless
}
