% hosang(FOLDER, INSTANCES, RESULTS, BUDGETS) prints the AR of proposals as the code of Hosang et al.
% computes it. FOLDER is a clone of github.com/hosang/detection-proposals. It prints a line for each
% number of boxes: the number, the AR of all, small, medium and large objects, and recall at the IoUs
% .5, .7 and .8.
function hosang(folder, instances, results, budgets)
  addpath(fullfile(folder, 'shared'), fullfile(folder, 'recall'));
  objects = jsondecode(fileread(instances)).annotations;
  objects = objects([objects.iscrowd] == 0);
  areas = [objects.area]';
  groups = {true(size(areas)), areas <= 32^2, areas >= 32^2 & areas <= 96^2, areas >= 96^2};

  proposals = jsondecode(fileread(results));
  [~, order] = sort([proposals.score], 'descend');
  proposals = proposals(order);
  of_proposal = [proposals.image_id];

  ious = zeros(numel(objects), numel(budgets));
  for id = unique([objects.image_id])
    rows = find([objects.image_id] == id);
    candidates = corners(proposals(of_proposal == id));
    if isempty(candidates)
      continue
    end
    for i = 1:numel(budgets)
      best = candidates(1:min(budgets(i), end), :);
      ious(rows, i) = closest_candidates(corners(objects(rows)), best);
    end
  end

  for i = 1:numel(budgets)
    printf('%d', budgets(i));
    for g = 1:numel(groups)
      [~, ~, ar] = compute_average_recall(ious(groups{g}, i));
      printf(' %.6f', ar);
    end
    printf(' %.6f', mean(ious(:, i) >= [.5 .7 .8]));
    printf('\n');
  end
end

% corners returns the first and last pixel of boxes, which is how overlap.m takes them.
function b = corners(annotations)
  b = [annotations.bbox]';
  if ~isempty(b)
    b = [b(:,1:2) + 1, b(:,1:2) + b(:,3:4)];
  end
end
