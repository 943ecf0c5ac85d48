"""Measured runs as observed times: which rows of a card are fitted, and which device of the table a card is."""

from tests.model_fit.reference import own
from tools.model_fit import own_runs


def test_of_a_card_only_what_tells_of_it_and_not_of_its_host_is_fitted():
    mine = own("h100-16-cores-speed-thinking")
    walls = {row.extra["row"]["arm_id"]: row for row in mine.rows["wall"]}
    fitted = own_runs.of_source(mine)
    modes = {row.extra["row"]["mode"] for row in fitted}
    assert modes == {"eager", "graph"}
    for row in fitted:
        told = row.extra["row"]
        assert (row.source, row.device.name, row.training) == (own_runs.OURS, "h100", False)
        wall = walls[told["arm_id"]].time_s
        if told["mode"] == "graph":
            assert (row.time_s, row.mode) == (wall, "graph")
        else:
            assert (row.time_s, row.mode) == (told["device_time_median_s"], "library"), "no host is counted"
    clocked = {row.extra["row"]["mode"] for row in mine.rows["device"]}
    assert clocked == {"eager", "compile"}, "of a graph's replay the wall shows the same"


def test_a_cards_name_is_found_in_what_torch_calls_it():
    names = {
        "NVIDIA H100 80GB HBM3": "h100",
        "Tesla T4": "t4",
        "NVIDIA GeForce RTX 4090": "rtx4090",
        "NVIDIA A100-SXM4-40GB": "a100",
        "NVIDIA GeForce RTX 2080": "rtx2080",
        "NVIDIA GeForce RTX 2080 Ti": "rtx2080ti",
        "Tesla V100-SXM2-16GB": "v100",
        "Tesla V100-PCIE-32GB": "v100_pcie",
        "NVIDIA TITAN V": "titan_v",
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition": "rtx_pro_6000_blackwell_max_q",
    }
    for title, name in names.items():
        assert own_runs.like(title).name == name
    others = (
        "GTX 980",
        "RTX 2080 SUPER",
        "RTX 3090 Ti",
        "RTX 4090 D",
        "RTX 4090 Laptop GPU",
        "RTX PRO 6000 Blackwell Workstation Edition",
    )
    for title in (*(f"NVIDIA GeForce {other}" for other in others), "NVIDIA H100 PCIe", "NVIDIA H100 NVL"):
        assert own_runs.like(title) is None, title
