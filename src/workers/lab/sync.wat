;; The WebAssembly kernels on words that several actors write: atomic operations, locks, queues. Assembled at build time; runs on actor threads. Functions
;; take the kernel's parameters of shared/lab/kernels.ts and return its results: operations, sum, third.
;;
;; WebAssembly has sequentially consistent atomics alone. As in JavaScript, every access that another thread may race with is atomic, the data of the
;; seqlock too. Who waits for another actor looks whether the word at $epoch says $over: then nobody will come any more.
(module
  (import "env" "memory" (memory 1 65536 shared))
  (import "env" "epoch" (global $epoch i32))
  (import "env" "over" (global $over i32))

  (func $is_over (result i32)
    (i32.eq (i32.atomic.load (global.get $epoch)) (global.get $over)))

  (func (export "atomicAdd") (param $at i32) (param $count i32) (result i64 i64 i64)
    (local $left i32)
    (local.set $left (local.get $count))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (drop (i32.atomic.rmw.add (local.get $at) (i32.const 1)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $count))
    (i64.const 0)
    (i64.const 0))

  (func (export "casAdd") (param $at i32) (param $count i32) (result i64 i64 i64)
    (local $left i32) (local $expected i32) (local $seen i32) (local $failed i64)
    (local.set $left (local.get $count))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $expected (i32.load (local.get $at)))
        (block $added
          (loop $again
            (local.set $seen
              (i32.atomic.rmw.cmpxchg
                (local.get $at)
                (local.get $expected)
                (i32.add (local.get $expected) (i32.const 1))))
            (br_if $added (i32.eq (local.get $seen) (local.get $expected)))
            (local.set $expected (local.get $seen))
            (local.set $failed (i64.add (local.get $failed) (i64.const 1)))
            (br $again)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $count))
    (local.get $failed)
    (i64.const 0))

  (func (export "increment") (param $at i32) (param $count i32) (result i64 i64 i64)
    (local $left i32)
    (local.set $left (local.get $count))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $count))
    (i64.extend_i32_u (i32.load (local.get $at)))
    (i64.const 0))

  (func (export "seqlockWrite") (param $at i32) (param $count i32) (result i64 i64 i64)
    (local $left i32) (local $before i32) (local $value i32)
    (local.set $left (local.get $count))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $before (i32.load (local.get $at)))
        (local.set $value (i32.add (i32.shr_u (local.get $before) (i32.const 1)) (i32.const 1)))
        (i32.atomic.store (local.get $at) (i32.add (local.get $before) (i32.const 1)))
        (i32.atomic.store offset=4 (local.get $at) (local.get $value))
        (i32.atomic.store offset=8 (local.get $at) (local.get $value))
        (i32.atomic.store offset=12 (local.get $at) (local.get $value))
        (i32.atomic.store offset=16 (local.get $at) (local.get $value))
        (i32.atomic.store offset=20 (local.get $at) (local.get $value))
        (i32.atomic.store offset=24 (local.get $at) (local.get $value))
        (i32.atomic.store offset=28 (local.get $at) (local.get $value))
        (i32.atomic.store (local.get $at) (i32.add (local.get $before) (i32.const 2)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $count))
    (i64.const 0)
    (i64.const 0))

  (func $differ (param $at i32) (result i32)
    (local $first i32)
    (local.set $first (i32.atomic.load offset=4 (local.get $at)))
    (i32.xor (local.get $first) (i32.atomic.load offset=8 (local.get $at)))
    (i32.or (i32.xor (local.get $first) (i32.atomic.load offset=12 (local.get $at))))
    (i32.or (i32.xor (local.get $first) (i32.atomic.load offset=16 (local.get $at))))
    (i32.or (i32.xor (local.get $first) (i32.atomic.load offset=20 (local.get $at))))
    (i32.or (i32.xor (local.get $first) (i32.atomic.load offset=24 (local.get $at))))
    (i32.or (i32.xor (local.get $first) (i32.atomic.load offset=28 (local.get $at)))))

  (func (export "seqlockRead") (param $at i32) (param $count i32) (result i64 i64 i64)
    (local $before i32) (local $differ i32) (local $good i64) (local $torn i64) (local $retries i64)
    (block $done
      (loop $next
        (br_if $done
          (i64.ge_u (i64.add (local.get $good) (local.get $torn)) (i64.extend_i32_u (local.get $count))))
        (local.set $before (i32.atomic.load (local.get $at)))
        (local.set $differ (call $differ (local.get $at)))
        (if
          (i32.or
            (i32.and (local.get $before) (i32.const 1))
            (i32.ne (i32.atomic.load (local.get $at)) (local.get $before)))
          (then
            (local.set $retries (i64.add (local.get $retries) (i64.const 1)))
            (br_if $done (call $is_over)))
          (else
            (if (local.get $differ)
              (then (local.set $torn (i64.add (local.get $torn) (i64.const 1))))
              (else (local.set $good (i64.add (local.get $good) (i64.const 1)))))))
        (br $next)))
    (local.get $good)
    (local.get $torn)
    (local.get $retries))

  ;; Spins until the word at $at has $value. 0: it is over.
  (func $reaches (param $at i32) (param $value i32) (result i32)
    (loop $again
      (if (i32.eq (i32.atomic.load (local.get $at)) (local.get $value)) (then (return (i32.const 1))))
      (br_if $again (i32.eqz (call $is_over))))
    (i32.const 0))

  (func (export "ticketLock") (param $at i32) (param $count i32) (result i64 i64 i64)
    (local $done i32) (local $ticket i32)
    (block $end
      (loop $next
        (br_if $end (i32.eq (local.get $done) (local.get $count)))
        (local.set $ticket (i32.atomic.rmw.add (local.get $at) (i32.const 1)))
        (br_if $end (i32.eqz (call $reaches (i32.add (local.get $at) (i32.const 64)) (local.get $ticket))))
        (i32.store offset=128 (local.get $at)
          (i32.add (i32.load offset=128 (local.get $at)) (i32.const 1)))
        (i32.atomic.store offset=64 (local.get $at) (i32.add (local.get $ticket) (i32.const 1)))
        (local.set $done (i32.add (local.get $done) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $done))
    (i64.const 0)
    (i64.const 0))

  ;; Spins until the word at $at is not $known any more, and gives it. $known: it is over.
  (func $changed (param $at i32) (param $known i32) (result i32)
    (local $seen i32)
    (loop $again
      (local.set $seen (i32.atomic.load (local.get $at)))
      (if (i32.ne (local.get $seen) (local.get $known)) (then (return (local.get $seen))))
      (br_if $again (i32.eqz (call $is_over))))
    (local.get $known))

  ;; Head and tail count all items that ever went in and out, modulo 2^32; each side keeps what it last saw of the other's.
  (func (export "spscPush") (param $at i32) (param $count i32) (param $slots i32) (result i64 i64 i64)
    (local $mask i32) (local $position i32) (local $freed i32) (local $seen i32) (local $sent i32) (local $sum i64)
    (local.set $mask (i32.sub (local.get $slots) (i32.const 1)))
    (local.set $position (i32.load (local.get $at)))
    (local.set $freed (i32.atomic.load offset=64 (local.get $at)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $sent) (local.get $count)))
        ;; The position minus what was freed never exceeds the slots: that it equals them is that the ring is full.
        (if (i32.eq (i32.sub (local.get $position) (local.get $freed)) (local.get $slots))
          (then
            (local.set $seen (call $changed (i32.add (local.get $at) (i32.const 64)) (local.get $freed)))
            (br_if $done (i32.eq (local.get $seen) (local.get $freed)))
            (local.set $freed (local.get $seen))))
        (local.set $sent (i32.add (local.get $sent) (i32.const 1)))
        (i32.store offset=128
          (i32.add (local.get $at) (i32.shl (i32.and (local.get $position) (local.get $mask)) (i32.const 2)))
          (local.get $sent))
        (local.set $position (i32.add (local.get $position) (i32.const 1)))
        (i32.atomic.store (local.get $at) (local.get $position))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $sent))))
        (br $next)))
    (i64.extend_i32_u (local.get $sent))
    (local.get $sum)
    (i64.const 0))

  (func (export "spscPop") (param $at i32) (param $count i32) (param $slots i32) (result i64 i64 i64)
    (local $mask i32) (local $position i32) (local $filled i32) (local $seen i32) (local $item i32)
    (local $received i32) (local $sum i64) (local $disorder i64)
    (local.set $mask (i32.sub (local.get $slots) (i32.const 1)))
    (local.set $position (i32.load offset=64 (local.get $at)))
    (local.set $filled (i32.atomic.load (local.get $at)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $received) (local.get $count)))
        (if (i32.eq (local.get $position) (local.get $filled))
          (then
            (local.set $seen (call $changed (local.get $at) (local.get $filled)))
            (br_if $done (i32.eq (local.get $seen) (local.get $filled)))
            (local.set $filled (local.get $seen))))
        (local.set $item
          (i32.load offset=128
            (i32.add (local.get $at) (i32.shl (i32.and (local.get $position) (local.get $mask)) (i32.const 2)))))
        (local.set $position (i32.add (local.get $position) (i32.const 1)))
        (i32.atomic.store offset=64 (local.get $at) (local.get $position))
        (local.set $received (i32.add (local.get $received) (i32.const 1)))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $item))))
        (local.set $disorder
          (i64.add (local.get $disorder) (i64.extend_i32_u (i32.ne (local.get $item) (local.get $received)))))
        (br $next)))
    (i64.extend_i32_u (local.get $received))
    (local.get $sum)
    (local.get $disorder))

  ;; The position of the counter at $counter (head or tail), made one's own, and 1; or 0 and 0 when it is over. A cell is ready for it when its
  ;; sequence is the position + $lead; behind that, the queue is full or empty; ahead of it, another thread was faster.
  (func $claim (param $counter i32) (param $cells i32) (param $mask i32) (param $lead i32) (result i32 i32)
    (local $position i32) (local $seen i32) (local $ahead i32)
    (local.set $position (i32.atomic.load (local.get $counter)))
    (loop $again
      (local.set $ahead
        (i32.sub
          (i32.atomic.load
            (i32.add (local.get $cells) (i32.shl (i32.and (local.get $position) (local.get $mask)) (i32.const 3))))
          (i32.add (local.get $position) (local.get $lead))))
      (if (i32.eqz (local.get $ahead))
        (then
          (local.set $seen
            (i32.atomic.rmw.cmpxchg
              (local.get $counter)
              (local.get $position)
              (i32.add (local.get $position) (i32.const 1))))
          (if (i32.eq (local.get $seen) (local.get $position))
            (then (return (local.get $position) (i32.const 1))))
          (local.set $position (local.get $seen)))
        (else
          (if (i32.lt_s (local.get $ahead) (i32.const 0))
            (then (if (call $is_over) (then (return (i32.const 0) (i32.const 0))))))
          (local.set $position (i32.atomic.load (local.get $counter)))))
      (br $again))
    (unreachable))

  (func (export "mpmcPush") (param $at i32) (param $count i32) (param $slots i32) (result i64 i64 i64)
    (local $mask i32) (local $position i32) (local $cell i32) (local $cells i32) (local $sent i32) (local $sum i64)
    (local.set $mask (i32.sub (local.get $slots) (i32.const 1)))
    (local.set $cells (i32.add (local.get $at) (i32.const 128)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $sent) (local.get $count)))
        (call $claim (local.get $at) (local.get $cells) (local.get $mask) (i32.const 0))
        (br_if $done (i32.eqz))
        (local.set $position)
        (local.set $cell
          (i32.add (local.get $cells) (i32.shl (i32.and (local.get $position) (local.get $mask)) (i32.const 3))))
        (local.set $sent (i32.add (local.get $sent) (i32.const 1)))
        (i32.store offset=4 (local.get $cell) (local.get $sent))
        (i32.atomic.store (local.get $cell) (i32.add (local.get $position) (i32.const 1)))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $sent))))
        (br $next)))
    (i64.extend_i32_u (local.get $sent))
    (local.get $sum)
    (i64.const 0))

  (func (export "mpmcPop") (param $at i32) (param $count i32) (param $slots i32) (result i64 i64 i64)
    (local $mask i32) (local $position i32) (local $cell i32) (local $cells i32) (local $taken i32) (local $sum i64)
    (local.set $mask (i32.sub (local.get $slots) (i32.const 1)))
    (local.set $cells (i32.add (local.get $at) (i32.const 128)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $taken) (local.get $count)))
        (call $claim (i32.add (local.get $at) (i32.const 64)) (local.get $cells) (local.get $mask) (i32.const 1))
        (br_if $done (i32.eqz))
        (local.set $position)
        (local.set $cell
          (i32.add (local.get $cells) (i32.shl (i32.and (local.get $position) (local.get $mask)) (i32.const 3))))
        (local.set $sum (i64.add (local.get $sum) (i64.load32_u offset=4 (local.get $cell))))
        (i32.atomic.store (local.get $cell) (i32.add (local.get $position) (local.get $slots)))
        (local.set $taken (i32.add (local.get $taken) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $taken))
    (local.get $sum)
    (i64.const 0)))
