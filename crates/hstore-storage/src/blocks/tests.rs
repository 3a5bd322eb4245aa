//! Blocks there and back, their bytes, and what damage and lies come to.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn record(revision: i64, sub: u32, key: &str, value: &[u8]) -> Record {
    Record {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value),
        meta: Meta {
            create_revision: Revision(2),
            mod_revision: Revision(revision),
            sub,
            version: revision - 1,
            lease: -7,
        },
    }
}

fn pack(block_bytes: usize, records: &[Record]) -> Vec<Packed> {
    let mut packer = Packer::new(block_bytes);
    let mut blocks: Vec<Packed> = records.iter().filter_map(|r| packer.push(r)).collect();
    blocks.extend(packer.finish());
    blocks
}

fn unpack(blocks: &[Packed]) -> Vec<Record> {
    let mut records = Vec::new();
    for packed in blocks {
        let block = Block::decode(&packed.bytes).unwrap();
        assert_eq!((block.first(), block.last()), (packed.first, packed.last));
        assert_eq!(block.entries().len(), packed.records as usize);
        records.extend(block.entries().iter().map(|entry| block.record(entry)));
    }
    records
}

#[test]
fn what_was_packed_is_unpacked_and_blocks_keep_to_their_size() {
    let records: Vec<Record> = (2..2000)
        .map(|n| record(n / 2, (n % 2) as u32, &format!("key-{n}"), &n.to_le_bytes()))
        .collect();
    let blocks = pack(4096, &records);
    assert!(blocks.len() > 10);
    assert!(
        blocks
            .iter()
            .all(|block| block.bytes.len() <= 4096 + HEADER_BYTES)
    );
    assert_eq!(unpack(&blocks), records);
}

#[test]
fn a_record_larger_than_a_block_gets_one_of_its_own() {
    let large = vec![7; 1536 * 1024];
    let records = [
        record(2, 0, "a", b"small"),
        record(3, 0, "b", &large),
        record(4, 0, "c", b"small"),
        record(5, 0, "d", b""),
    ];
    let blocks = pack(4096, &records);
    let sizes: Vec<u32> = blocks.iter().map(|block| block.records).collect();
    assert_eq!(sizes, [1, 1, 2]);
    assert_eq!(unpack(&blocks), records);
}

#[test]
fn compression_is_used_only_where_it_pays() {
    let noise: Vec<u8> = (0u32..4096)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (n.wrapping_mul(40503) >> 7) as u8)
        .collect();
    for (value, kind) in [(vec![b'x'; 4096], LZ4), (noise, PLAIN)] {
        let blocks = pack(65536, &[record(2, 0, "k", &value)]);
        assert_eq!(blocks[0].bytes[1], kind);
        assert_eq!(unpack(&blocks)[0].value, value);
    }
}

#[test]
fn the_bytes_of_version_1_stay_as_they_are() {
    let mut records = [
        record(2, 0, "ab", b"cd"),
        record(2, 1, "e", b""),
        record(300, 0, "f", b"g"),
    ];
    for record in &mut records {
        record.meta.lease = 5;
    }
    let blocks = pack(65536, &records);
    let golden: &[u8] = &[
        1, 0, 3, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, // header, checksum checked below
        2, 0, 2, 1, 5, 2, 2, b'a', b'b', b'c', b'd', // revision 2, sub 0
        0, 1, 2, 1, 5, 1, 0, b'e', // the same revision, sub 1
        170, 2, 0, 2, 171, 2, 5, 1, 1, b'f', b'g', // 298 revisions later
    ];
    let bytes = &blocks[0].bytes;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..10]), &bytes[14..]);
    assert_eq!(bytes[10..14], checksum.to_le_bytes());
    assert_eq!(&bytes[..10], &golden[..10]);
    assert_eq!(&bytes[14..], &golden[14..]);
    assert_eq!(
        &engine_key(blocks[0].last)[..],
        [1, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0]
    );
    assert_eq!(
        parse_engine_key(&engine_key(blocks[0].last)),
        Some(blocks[0].last)
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let records: Vec<Record> = (2..12)
        .map(|n| record(n, 0, "key", b"value value value"))
        .collect();
    let bytes = pack(65536, &records)[0].bytes.clone();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            assert!(
                Block::decode(&flipped.into()).is_err(),
                "byte {at}, bit {bit}"
            );
        }
        assert!(Block::decode(&bytes.slice(..at)).is_err(), "cut at {at}");
    }
}

#[test]
fn a_block_that_lies_with_a_right_checksum_is_refused() {
    let sealed = |body: &[u8], records| Block::decode(&seal(body, records)).map(|_| ());
    let one = [2, 0, 2, 1, 0, 1, 0, b'k'];
    assert_eq!(sealed(&one, 1), Ok(()));
    assert_eq!(sealed(&one, 2), Err(BlockError::Record));
    assert_eq!(sealed(&one, u32::MAX), Err(BlockError::Record));
    assert_eq!(sealed(&[], 0), Err(BlockError::Record));
    assert_eq!(
        sealed(&[2, 0, 2, 1, 0, 1, 200, 1, b'k'], 1),
        Err(BlockError::Record)
    );
    let twice = [one, [0, 0, 2, 1, 0, 1, 0, b'k']].concat();
    assert_eq!(sealed(&twice, 2), Err(BlockError::Order));
    let newer = [&[VERSION + 1][..], &seal(&one, 1)[1..]].concat();
    assert_eq!(
        Block::decode(&newer.into()).map(|_| ()),
        Err(BlockError::Version { found: VERSION + 1 })
    );
}
