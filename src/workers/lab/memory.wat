;; The WebAssembly kernels of one actor on plain memory: STREAM, strided and random accesses, a chain, pages to dirty. Assembled at build time; runs on actor
;; threads. Every function takes the kernel's parameters of shared/lab/kernels.ts and returns its results: operations, sum, third.
;;
;; Vectors of 128 bits, eight to a turn of a loop: each turn pays for a look at V8's stack limit. Accesses need no check of bounds: V8 keeps the addresses
;; behind a memory unmapped, and one outside traps. Addresses end below 4 GiB, because the loader's tables lie behind the data.
(module
  (import "env" "memory" (memory 1 65536 shared))

  ;; The sum of `words` 64-bit words from `at` on. Eight sums, so that no addition waits for the one before.
  (func $sum (param $at i32) (param $words i32) (result i64)
    (local $end i32) (local $stop i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $words) (i32.const 3))))
    (local.set $stop (i32.add (local.get $at) (i32.shl (i32.and (local.get $words) (i32.const -16)) (i32.const 3))))
    (block $blocks
      (br_if $blocks (i32.eq (local.get $at) (local.get $stop)))
      (loop $next
        (local.set $a (i64x2.add (local.get $a) (v128.load (local.get $at))))
        (local.set $b (i64x2.add (local.get $b) (v128.load offset=16 (local.get $at))))
        (local.set $c (i64x2.add (local.get $c) (v128.load offset=32 (local.get $at))))
        (local.set $d (i64x2.add (local.get $d) (v128.load offset=48 (local.get $at))))
        (local.set $a (i64x2.add (local.get $a) (v128.load offset=64 (local.get $at))))
        (local.set $b (i64x2.add (local.get $b) (v128.load offset=80 (local.get $at))))
        (local.set $c (i64x2.add (local.get $c) (v128.load offset=96 (local.get $at))))
        (local.set $d (i64x2.add (local.get $d) (v128.load offset=112 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 128)))
        (br_if $next (i32.ne (local.get $at) (local.get $stop)))))
    (block $rest
      (loop $next
        (br_if $rest (i32.eq (local.get $at) (local.get $end)))
        (local.set $a (i64x2.add (local.get $a) (v128.load64_zero (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (local.set $a (i64x2.add (i64x2.add (local.get $a) (local.get $b)) (i64x2.add (local.get $c) (local.get $d))))
    (i64.add (i64x2.extract_lane 0 (local.get $a)) (i64x2.extract_lane 1 (local.get $a))))

  (func (export "read") (param $at i32) (param $bytes i32) (param $passes i32) (result i64 i64 i64)
    (local $words i32) (local $pass i32) (local $sum i64)
    (local.set $words (i32.shr_u (local.get $bytes) (i32.const 3)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $pass) (local.get $passes)))
        (local.set $sum (call $sum (local.get $at) (local.get $words)))
        (local.set $pass (i32.add (local.get $pass) (i32.const 1)))
        (br $next)))
    (i64.mul (i64.extend_i32_u (local.get $words)) (i64.extend_i32_u (local.get $passes)))
    (local.get $sum)
    (i64.const 0))

  (func $fill (param $at i32) (param $words i32) (param $value v128)
    (local $end i32) (local $stop i32)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $words) (i32.const 3))))
    (local.set $stop (i32.add (local.get $at) (i32.shl (i32.and (local.get $words) (i32.const -16)) (i32.const 3))))
    (block $blocks
      (br_if $blocks (i32.eq (local.get $at) (local.get $stop)))
      (loop $next
        (v128.store (local.get $at) (local.get $value))
        (v128.store offset=16 (local.get $at) (local.get $value))
        (v128.store offset=32 (local.get $at) (local.get $value))
        (v128.store offset=48 (local.get $at) (local.get $value))
        (v128.store offset=64 (local.get $at) (local.get $value))
        (v128.store offset=80 (local.get $at) (local.get $value))
        (v128.store offset=96 (local.get $at) (local.get $value))
        (v128.store offset=112 (local.get $at) (local.get $value))
        (local.set $at (i32.add (local.get $at) (i32.const 128)))
        (br_if $next (i32.ne (local.get $at) (local.get $stop)))))
    (block $rest
      (loop $next
        (br_if $rest (i32.eq (local.get $at) (local.get $end)))
        (v128.store64_lane 0 (local.get $at) (local.get $value))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next))))

  (func (export "write") (param $at i32) (param $bytes i32) (param $passes i32) (param $value i32) (result i64 i64 i64)
    (local $words i32) (local $pass i32)
    (local.set $words (i32.shr_u (local.get $bytes) (i32.const 3)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $pass) (local.get $passes)))
        (call $fill (local.get $at) (local.get $words) (i32x4.splat (local.get $value)))
        (local.set $pass (i32.add (local.get $pass) (i32.const 1)))
        (br $next)))
    (i64.mul (i64.extend_i32_u (local.get $words)) (i64.extend_i32_u (local.get $passes)))
    (i64.const 0)
    (i64.const 0))

  ;; memory.copy is V8's call of memmove, which is what the C kernel's memcpy is as well.
  (func (export "copy") (param $at i32) (param $bytes i32) (param $passes i32) (param $from i32) (result i64 i64 i64)
    (local $pass i32)
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $pass) (local.get $passes)))
        (memory.copy (local.get $at) (local.get $from) (local.get $bytes))
        (local.set $pass (i32.add (local.get $pass) (i32.const 1)))
        (br $next)))
    (i64.mul (i64.extend_i32_u (i32.shr_u (local.get $bytes) (i32.const 3))) (i64.extend_i32_u (local.get $passes)))
    (i64.const 0)
    (i64.const 0))

  (func $triad (param $a i32) (param $b i32) (param $c i32) (param $words i32)
    (local $end i32) (local $stop i32) (local $three v128)
    (local.set $three (f64x2.splat (f64.const 3)))
    (local.set $end (i32.add (local.get $a) (i32.shl (local.get $words) (i32.const 3))))
    (local.set $stop (i32.add (local.get $a) (i32.shl (i32.and (local.get $words) (i32.const -16)) (i32.const 3))))
    (block $blocks
      (br_if $blocks (i32.eq (local.get $a) (local.get $stop)))
      (loop $next
        (v128.store (local.get $a)
          (f64x2.add (v128.load (local.get $b)) (f64x2.mul (local.get $three) (v128.load (local.get $c)))))
        (v128.store offset=16 (local.get $a)
          (f64x2.add (v128.load offset=16 (local.get $b)) (f64x2.mul (local.get $three) (v128.load offset=16 (local.get $c)))))
        (v128.store offset=32 (local.get $a)
          (f64x2.add (v128.load offset=32 (local.get $b)) (f64x2.mul (local.get $three) (v128.load offset=32 (local.get $c)))))
        (v128.store offset=48 (local.get $a)
          (f64x2.add (v128.load offset=48 (local.get $b)) (f64x2.mul (local.get $three) (v128.load offset=48 (local.get $c)))))
        (v128.store offset=64 (local.get $a)
          (f64x2.add (v128.load offset=64 (local.get $b)) (f64x2.mul (local.get $three) (v128.load offset=64 (local.get $c)))))
        (v128.store offset=80 (local.get $a)
          (f64x2.add (v128.load offset=80 (local.get $b)) (f64x2.mul (local.get $three) (v128.load offset=80 (local.get $c)))))
        (v128.store offset=96 (local.get $a)
          (f64x2.add (v128.load offset=96 (local.get $b)) (f64x2.mul (local.get $three) (v128.load offset=96 (local.get $c)))))
        (v128.store offset=112 (local.get $a)
          (f64x2.add (v128.load offset=112 (local.get $b)) (f64x2.mul (local.get $three) (v128.load offset=112 (local.get $c)))))
        (local.set $b (i32.add (local.get $b) (i32.const 128)))
        (local.set $c (i32.add (local.get $c) (i32.const 128)))
        (local.set $a (i32.add (local.get $a) (i32.const 128)))
        (br_if $next (i32.ne (local.get $a) (local.get $stop)))))
    (block $rest
      (loop $next
        (br_if $rest (i32.eq (local.get $a) (local.get $end)))
        (f64.store (local.get $a)
          (f64.add (f64.load (local.get $b)) (f64.mul (f64.const 3) (f64.load (local.get $c)))))
        (local.set $b (i32.add (local.get $b) (i32.const 8)))
        (local.set $c (i32.add (local.get $c) (i32.const 8)))
        (local.set $a (i32.add (local.get $a) (i32.const 8)))
        (br $next))))

  (func (export "triad")
    (param $at i32) (param $bytes i32) (param $passes i32) (param $b i32) (param $c i32) (result i64 i64 i64)
    (local $words i32) (local $pass i32)
    (local.set $words (i32.shr_u (local.get $bytes) (i32.const 3)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $pass) (local.get $passes)))
        (call $triad (local.get $at) (local.get $b) (local.get $c) (local.get $words))
        (local.set $pass (i32.add (local.get $pass) (i32.const 1)))
        (br $next)))
    (i64.mul (i64.extend_i32_u (local.get $words)) (i64.extend_i32_u (local.get $passes)))
    (i64.const 0)
    (i64.const 0))

  (func (export "strided") (param $at i32) (param $bytes i32) (param $passes i32) (param $stride i32) (result i64 i64 i64)
    (local $count i32) (local $left i32) (local $p i32) (local $pass i32) (local $sum i64)
    (local.set $count (i32.div_u (local.get $bytes) (local.get $stride)))
    (block $done
      (loop $next_pass
        (br_if $done (i32.eq (local.get $pass) (local.get $passes)))
        (local.set $sum (i64.const 0))
        (local.set $p (local.get $at))
        (local.set $left (local.get $count))
        (block $end
          (loop $next
            (br_if $end (i32.eqz (local.get $left)))
            (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $p))))
            (local.set $p (i32.add (local.get $p) (local.get $stride)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $next)))
        (local.set $pass (i32.add (local.get $pass) (i32.const 1)))
        (br $next_pass)))
    (i64.mul (i64.extend_i32_u (local.get $count)) (i64.extend_i32_u (local.get $passes)))
    (local.get $sum)
    (i64.const 0))

  ;; Places are the low bits of xorshift32; whether it is a store, the high bits of its product with the golden ratio.
  (func (export "random")
    (param $at i32) (param $bytes i32) (param $count i32) (param $x i32) (param $writes i32) (result i64 i64 i64)
    (local $mask i32) (local $i i32) (local $p i32) (local $sum i64)
    (local.set $mask (i32.sub (i32.shr_u (local.get $bytes) (i32.const 3)) (i32.const 1)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $i) (local.get $count)))
        (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
        (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
        (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
        (local.set $p
          (i32.add (local.get $at) (i32.shl (i32.and (local.get $x) (local.get $mask)) (i32.const 3))))
        (if
          (i32.lt_u
            (i32.shr_u (i32.mul (local.get $x) (i32.const 0x9e3779b1)) (i32.const 24))
            (local.get $writes))
          (then (i64.store (local.get $p) (i64.extend_i32_u (local.get $i))))
          (else (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $p))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $count))
    (local.get $sum)
    (i64.const 0))

  ;; A chain that leads out of memory traps.
  (func (export "chase") (param $p i32) (param $count i32) (result i64 i64 i64)
    (local $left i32)
    (local.set $left (local.get $count))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $p (i32.load (local.get $p)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i64.extend_i32_u (local.get $count))
    (i64.extend_i32_u (local.get $p))
    (i64.const 0))

  (func (export "dirty") (param $at i32) (param $pages i32) (param $passes i32) (param $step i32) (result i64 i64 i64)
    (local $page i32) (local $pass i32) (local $written i64)
    (block $done
      (loop $next_pass
        (br_if $done (i32.eq (local.get $pass) (local.get $passes)))
        (local.set $pass (i32.add (local.get $pass) (i32.const 1)))
        (local.set $page (i32.const 0))
        (block $end
          (loop $next
            (br_if $end (i32.ge_u (local.get $page) (local.get $pages)))
            (i32.store
              (i32.add (local.get $at) (i32.shl (local.get $page) (i32.const 12)))
              (local.get $pass))
            (local.set $page (i32.add (local.get $page) (local.get $step)))
            (local.set $written (i64.add (local.get $written) (i64.const 1)))
            (br $next)))
        (br $next_pass)))
    (local.get $written)
    (i64.const 0)
    (i64.const 0)))
