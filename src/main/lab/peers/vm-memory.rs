// The peer of the memory API: rust-vmm's vm-memory, driven by lines on standard input. `open <bytes> <tracked: 0 or 1>` makes guest memory whose
// u32 words hold their indices; `run <operation> <block> <passes>` goes over all of it, block by block, and prints nanoseconds and a sum
// that proves the work. One process per variant; ends with its input.

use std::io::{self, BufRead, Write};
use std::time::Instant;
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap};

/// Words from `at` on, as they lie in memory.
fn pattern(at: usize, bytes: usize) -> Vec<u8> {
    (at / 4..(at + bytes) / 4).flat_map(|index| (index as u32).to_le_bytes()).collect()
}

fn run<B: Bitmap>(memory: &GuestMemoryMmap<B>, operation: &str, bytes: usize, block: usize, passes: usize) -> u64
where
    GuestMemoryMmap<B>: GuestMemory,
{
    let mut buffer = pattern(0, block);
    let mut sum: u64 = 0;
    for pass in 0..passes {
        sum = 0;
        match operation {
            "write" => {
                for at in (0..bytes).step_by(block) {
                    buffer[0] = pass as u8;
                    memory.write_slice(&buffer, GuestAddress(at as u64)).unwrap();
                    sum += block as u64;
                }
            }
            "read" => {
                for at in (0..bytes).step_by(block) {
                    memory.read_slice(&mut buffer, GuestAddress(at as u64)).unwrap();
                    sum += buffer[block - 3] as u64;
                }
            }
            "write-obj" => {
                for at in (0..bytes).step_by(4) {
                    memory.write_obj((at / 4) as u32, GuestAddress(at as u64)).unwrap();
                    sum += 4;
                }
            }
            "read-obj" => {
                for at in (0..bytes).step_by(4) {
                    let word: u32 = memory.read_obj(GuestAddress(at as u64)).unwrap();
                    sum += word as u64;
                }
            }
            _ => panic!("unknown operation {operation}"),
        }
    }
    sum
}

fn serve<B: Bitmap>(memory: GuestMemoryMmap<B>, bytes: usize, lines: &mut dyn Iterator<Item = String>)
where
    GuestMemoryMmap<B>: GuestMemory,
{
    memory.write_slice(&pattern(0, bytes), GuestAddress(0)).unwrap();
    answer("open");
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (block, passes) = (words[2].parse().unwrap(), words[3].parse().unwrap());
        let start = Instant::now();
        let sum = run(&memory, words[1], bytes, block, passes);
        answer(&format!("{} {}", start.elapsed().as_nanos(), sum));
    }
}

fn answer(line: &str) {
    println!("{line}");
    io::stdout().flush().unwrap();
}

fn main() {
    let mut lines = io::stdin().lock().lines().map(|line| line.unwrap());
    let first = lines.next().expect("open <bytes> <tracked>");
    let words: Vec<&str> = first.split_whitespace().collect();
    let bytes: usize = words[1].parse().unwrap();
    let ranges = [(GuestAddress(0), bytes)];
    if words[2] == "1" {
        serve(GuestMemoryMmap::<AtomicBitmap>::from_ranges(&ranges).unwrap(), bytes, &mut lines);
    } else {
        serve(GuestMemoryMmap::<()>::from_ranges(&ranges).unwrap(), bytes, &mut lines);
    }
}
