// SPDX-License-Identifier: GPL-2.0

//! What the module's atomics promise, in every order; and that each promise needs what it rests on.

use orders::{
    bounds, counters, flag,
    sync::{explore, Weaker},
    waiting,
};

#[test]
fn what_was_written_before_an_end_is_handed_over() {
    explore(Weaker::Nothing, flag::end_against_map);
}

#[test]
#[should_panic(expected = "nobody hands over")]
fn control_end_without_barriers() {
    explore(Weaker::Barriers, flag::end_against_map);
}

#[test]
fn a_begin_that_has_nothing_to_do_sees_everything() {
    explore(Weaker::Nothing, flag::begin_against_unmap);
}

#[test]
#[should_panic(expected = "what was there before")]
fn control_clear_without_release() {
    explore(Weaker::Releases, flag::begin_against_unmap);
}

#[test]
#[should_panic(expected = "what was there before")]
fn control_begin_without_acquire() {
    explore(Weaker::Acquires, flag::begin_against_unmap);
}

#[test]
fn a_device_that_comes_later_sees_it_as_well() {
    explore(Weaker::Nothing, flag::end_against_devices_that_come_and_go);
}

#[test]
#[should_panic(expected = "nobody hands over")]
fn control_devices_without_barriers() {
    explore(Weaker::Barriers, flag::end_against_devices_that_come_and_go);
}

#[test]
fn nothing_is_counted_twice_or_not_at_all() {
    explore(Weaker::Nothing, counters::buffers_come_and_go);
}

#[test]
#[should_panic(expected = "a buffer is lost")]
fn control_counters_in_two_steps() {
    explore(Weaker::Updates, counters::buffers_come_and_go);
}

#[test]
fn no_more_is_taken_than_there_is() {
    explore(Weaker::Nothing, bounds::one_of_two);
}

#[test]
#[should_panic(expected = "one of them gets it")]
fn control_taken_in_two_steps() {
    explore(Weaker::Updates, bounds::one_of_two);
}

#[test]
fn who_fits_is_not_refused_because_of_another() {
    explore(Weaker::Nothing, bounds::one_beside_a_glutton_of_the_module);
}

#[test]
#[should_panic(expected = "who fits gets it")]
fn control_added_before_it_is_looked_at() {
    explore(Weaker::Nothing, bounds::one_beside_a_glutton_who_adds_first);
}

#[test]
fn who_waited_while_another_handed_over_need_not() {
    explore(Weaker::Nothing, waiting::ends_beside_each_other);
}

#[test]
#[should_panic(expected = "left it out")]
fn control_arriving_without_barriers() {
    explore(Weaker::Barriers, waiting::ends_beside_each_other);
}

#[test]
#[should_panic(expected = "left it out")]
fn control_ended_without_release() {
    explore(Weaker::Releases, waiting::ends_beside_each_other);
}

#[test]
#[should_panic(expected = "left it out")]
fn control_served_without_acquire() {
    explore(Weaker::Acquires, waiting::ends_beside_each_other);
}
